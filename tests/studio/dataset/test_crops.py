"""Crops without frames: windows as a detector's, exact coordinates, a store that training reads, the frames' pixels."""

import cv2
import numpy as np
import pytest

from kpl import captures, faces
from kpl.faces import geometry
from kpl.faces.geometry import Square
from kpl.studio import worker
from kpl.studio.dataset import crops, manifest
from kpl.studio.dataset.settings import Settings

from ..conftest import CACHE, contents, run_studio
from ..made import make

SETTINGS = Settings(
    train_subjects=2, val_subjects=1, test_subjects=1, subjects_with_all=1, scale=1.0, crop_size=32, seed=3
)


def test_windows_are_as_a_detectors_squares():
    rng = np.random.default_rng(0)
    points = rng.uniform(300, 500, (3, 106, 2))
    box = geometry.square_of_points(points)
    drawn = [crops.draw_squares(rng, points) for _ in range(1000)]
    side = box[:, 2] - box[:, 0]
    ratio = np.array([[square.side for square in three] for three in drawn]) / side
    assert np.allclose(ratio.mean(axis=0), 1.13, atol=0.01) and np.allclose(ratio.std(axis=0), 0.063, atol=0.006)
    assert abs(np.corrcoef(ratio[:, 0], ratio[:, 2])[0, 1] - 0.66) < 0.07
    centres = np.array([[(s.x + s.side / 2, s.y + s.side / 2) for s in three] for three in drawn])
    off = (centres - (box[:, :2] + box[:, 2:]) / 2) / side[:, None]
    assert np.allclose(off.std(axis=(0, 1)), [0.021, 0.027], atol=0.003) and np.abs(off.mean(axis=0)).max() < 0.005


def test_the_ways_between_crop_and_frame_agree():
    square, size = Square(231, 574, 294), 256
    lying = np.random.default_rng(0).uniform(0, size, (50, 2))  # in the crop's own lying picture
    in_frame = geometry.moved(crops.to_frame(square, size)[:2], lying)
    units = geometry.moved(crops.to_crop_units(square), in_frame)
    assert np.allclose(units, geometry.moved(geometry.to_upright(size, size), lying) / size, atol=1e-12)


def test_the_store_is_one_that_training_reads(tmp_path):
    root = make(tmp_path / "crops", SETTINGS)
    store = faces.load(root)
    assert store.crops.shape == (46, 3, 32, 32, 3) and store.crops.any(axis=(2, 3, 4)).all()
    assert store.table["split"].value_counts().to_dict() == {"train": 32, "val": 7, "test": 7}
    test = store.table["split"].to_numpy() == "test"
    assert np.array_equal(store.known, ~test) and store.seen.all()
    assert np.isnan(store.points2d[test]).all() and np.isfinite(store.points2d[~test]).all()
    held_out = captures.truth(root / "held_out")
    assert list(held_out) == store.table["sample"][test].tolist()
    assert not list(root.glob("*.pkl")) and not (root / "points2d.npz").exists()
    assert not manifest.check(root, 1)
    assert contents(root) == contents(make(tmp_path / "again", SETTINGS))


@pytest.mark.slow
def test_a_crop_is_what_is_cut_from_the_full_frame():
    studio = worker.open_studio(CACHE, 1.0)
    sitting = studio.sit(3, 5)
    squares, small = worker.crop_portrait(sitting, "04", 256)
    full = sitting.portray("04")
    assert np.array_equal(full.points, small.points)
    for name in ("points2d", "intrinsics", "extrinsics"):
        assert np.abs(getattr(full, name) - getattr(small, name)).max() < 1e-9
    for view in range(3):
        frame, own = (crops.decode(np.frombuffer(each.pictures[view], np.uint8)) for each in (full, small))
        cut = geometry.crop(frame, Square(*squares[view]), 256)
        inside = geometry.crop(np.full_like(frame, 255), Square(*squares[view]), 256)[..., 0] == 255
        assert inside.mean() > 0.8
        # A cut is black beyond the frame, where a rendered crop goes on.
        own = own * inside[..., None].astype(own.dtype)
        assert np.abs(cut.astype(int) - own).mean() < 8  # noise and JPEG are drawn for each
        soft, shifted, soft_own = (
            cv2.GaussianBlur(each.astype(np.float32), (0, 0), 2) for each in (cut, np.roll(cut, 3, axis=1), own)
        )
        assert np.abs(soft - soft_own).mean() < min(2.5, 0.5 * np.abs(shifted - soft_own).mean())


@pytest.mark.slow
def test_crops_do_not_depend_on_shards(tmp_path):
    options = (
        "--preset=crops", "--train-subjects=1", "--val-subjects=0", "--subjects-with-all=0", "--crop-size=48",
    )  # fmt: skip
    command = [*options, "--scale=1", "--jobs=1"]
    assert run_studio(tmp_path / "one", *command).returncode == 0
    for shard in ("2/2", "1/2"):
        assert not (tmp_path / "two/studio.json").exists()
        result = run_studio(tmp_path / "two", *command, "--shard", shard)
        assert result.returncode == 0, result.stderr
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    store = faces.load(tmp_path / "one")
    inside = (store.points2d[store.known] > 0) & (store.points2d[store.known] < 1)
    assert inside.mean() > 0.95
