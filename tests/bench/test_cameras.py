import numpy as np
import pandas as pd
import pytest

from bench import cameras
from kpl.errors import BadInput


def test_cameras_that_lie_on_their_side_see_upright_points():
    """The first row of a lying camera looks down, the second to the left."""
    looks = np.array([[0.0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, -1, 10]])
    points = cameras.seen_by(np.array([[[1.0, 0, 0], [0, 2, 0]]]), np.tile(looks, (1, 3, 1, 1)))
    np.testing.assert_allclose(points[0, 1], [[0.1, 0], [0, -0.2]])


def test_the_noise_that_serves_a_ridge_best_is_taken():
    rng = np.random.default_rng(0)
    shapes = rng.normal(size=(60, 106, 3)) * rng.normal(0, 0.05, (60, 1, 1)) + rng.normal(size=(106, 3))
    seen = np.repeat(shapes[:, None, :, :2], 3, axis=1)
    found = cameras.best_ridge(lambda rng: seen, shapes, cameras.flat(seen), shapes)
    assert np.abs(found - shapes).mean() < 0.7 * np.abs(shapes - shapes.mean(axis=0)).mean()


def test_worse_pictures_are_what_they_are_called():
    crops = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64, 3)).astype(np.uint8)
    changed = {word: np.clip(change(crops), 0, 255).astype(np.uint8) for word, change in cameras.WORSE.items()}
    assert all(each.shape == crops.shape and (each != crops).any() for each in changed.values())
    assert np.ptp(changed["black and white"], axis=4).max() == 0
    assert changed["blurred"].std() < 0.7 * crops.std() and changed["a quarter as bright"].max() <= 64
    kept = {word: changed[word].any(axis=(0, 2, 3, 4)).tolist() for word in changed}
    assert kept["without the left one"] == [False, True, True] and kept["the middle one alone"] == [False, True, False]


def test_a_run_that_is_not_there_is_said(tiny_faces, tmp_path):
    with pytest.raises(BadInput, match="holds no finished fold"):
        cameras.main(["--faces", str(tiny_faces), "--run", str(tmp_path), "--out", str(tmp_path / "found.csv")])


@pytest.mark.slow
def test_a_rig_is_taken_and_every_contender_measured(tiny_faces, tiny_runs, tmp_path):
    out = tmp_path / "found.csv"
    options = ["--faces", str(tiny_faces), "--run", str(tiny_runs / "small"), "--out", str(out), "--no-peer"]
    cameras.main([*options, "--rigs", "35,20", "--subjects", "1"])
    table = pd.read_csv(out, comment="#").set_index("name")
    assert set(table.index) == {cameras.HOME, cameras.KNOWN, cameras.FIT} and (table["rig"] == "35,20").all()
    assert np.isfinite(table[["nme", "to_known"]]).all().all() and 0 <= table.loc[cameras.FIT, "yaw_within_3"] <= 1
    assert out.with_suffix(".png").stat().st_size > 5000
