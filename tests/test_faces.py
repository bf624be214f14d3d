import json
import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from kpl import crop, faces
from kpl.errors import BadInput
from kpl.files import write_npz

SIZE = 32
RECIPE = "centerface256"
FILES = ("crops.npy", "faces.csv", "targets.npz", "done.json")


def photograph(seed: int, view: int) -> np.ndarray:
    """An upright 200 x 300 picture with a real face somewhere, other light and size by seed and view."""
    rng = np.random.default_rng([seed, view])
    face = cv2.resize(data.astronaut()[20:220, 130:330], None, fx=0.7, fy=0.7)
    picture = np.full((300, 200, 3), 90, np.uint8)
    x, y = rng.integers(10, 50), rng.integers(40, 60)
    picture[y : y + 140, x : x + 140] = (face * rng.uniform(0.7, 1.0)).astype(np.uint8)
    return picture


def save(path: Path, upright: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), crop.lying(upright)[..., ::-1])


def capture(root: Path, *samples: str) -> Path:
    for sample in samples:
        for view in range(3):
            save(root / sample / "Images" / str(view) / "t.png", photograph(int(sample[:5]), view))
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def captures_folder(tmp_path_factory):
    """Two subjects with truth, one without, and everything that can be missing."""
    root = capture(tmp_path_factory.mktemp("captures"), "00001/01", "00001/02", "00002/01", "00003/01")
    save(root / "00001/02/Images/1/t.png", np.full((300, 200, 3), 90, np.uint8))  # nobody there
    (root / "00002/01/Images/0/t.png").write_bytes(b"damaged")
    (root / "00003/01/Images/2/t.png").unlink()
    shape = np.random.default_rng(0).normal(size=(106, 3))
    (root / "gt.pkl").write_bytes(pickle.dumps({"00001/01": shape, "00001/02": shape, "00002/01": shape + 1}))
    points = np.random.default_rng(1).uniform(50, 150, (1, 3, 106, 2)).astype(np.float32)
    write_npz(root / "points2d.npz", samples=np.array(["00001/01"]), points=points)
    return root


@pytest.fixture(scope="module")
def store(captures_folder, tmp_path_factory):
    return faces.build(captures_folder, tmp_path_factory.mktemp("faces") / "here", RECIPE, SIZE, jobs=2)


def test_the_table_says_what_became_of_each_picture(store):
    table = store.table
    assert table["sample"].tolist() == ["00001/01", "00001/02", "00002/01", "00003/01"]
    assert table["subject"].tolist() == ["00001", "00001", "00002", "00003"]
    assert table["expression"].tolist() == ["01", "02", "01", "01"]
    assert table["split"].tolist() == ["train", "train", "train", "test"]
    assert table[["status0", "status1", "status2"]].to_numpy().tolist() == [
        ["ok", "ok", "ok"],
        ["ok", "fallback", "ok"],
        ["missing", "ok", "ok"],
        ["ok", "ok", "missing"],
    ]
    assert table["score0"].notna().tolist() == [True, True, False, True]
    assert table["side1"].notna().all() and table["side0"].isna().tolist() == [False, False, True, False]
    assert set(table["width1"]) == {200} and set(table["height1"]) == {300}
    assert store.recipe == {"name": RECIPE, "detector": "centerface", "size": SIZE}


def test_crops_are_upright_squares_of_the_pictures(store):
    assert store.crops.shape == (4, 3, SIZE, SIZE, 3) and store.crops.dtype == np.uint8
    for i, row in store.table.iterrows():
        for view in range(3):
            if row[f"status{view}"] == "missing":
                assert not store.crops[i, view].any()
            elif row[f"status{view}"] == "ok":
                square = crop.Square(*(int(row[f"{name}{view}"]) for name in ("x", "y", "side")))
                picture = photograph(int(row["subject"]), view)
                np.testing.assert_array_equal(store.crops[i, view], crop.crop(picture, square, SIZE))


def test_targets_follow_the_table(store, captures_folder):
    np.testing.assert_array_equal(np.isnan(store.points3d).all((1, 2)), [False, False, False, True])
    truth = pickle.loads((captures_folder / "gt.pkl").read_bytes())
    np.testing.assert_array_equal(store.points3d[2], truth["00002/01"])
    assert np.isnan(store.points2d[1:]).all()
    row = store.table.iloc[0]
    with np.load(captures_folder / "points2d.npz") as file:
        x, y = file["points"][0, 2, 7]
    expected = (np.array([200 - y, x]) - [row["x2"], row["y2"]]) / row["side2"]
    np.testing.assert_allclose(store.points2d[0, 2, 7], expected, atol=1e-5)


def test_everything_odd_is_said_by_sample(captures_folder, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "kpl"):
        faces.build(captures_folder, tmp_path, RECIPE, SIZE, jobs=1)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert any("00003/01" in line and "view 2 is missing" in line for line in said)
    assert any("00001/02" in line and "no face found in view 1" in line for line in said)
    assert any("00002/01" in line and "view 0 does not decode" in line for line in said)


def test_the_number_of_processes_does_not_show(captures_folder, store, tmp_path):
    faces.build(captures_folder, tmp_path, RECIPE, SIZE, jobs=1)
    assert contents(tmp_path) == contents(store.folder)


def test_a_finished_store_is_left_alone(captures_folder, store):
    before = {name: (store.folder / name).stat().st_mtime_ns for name in FILES}
    faces.build(captures_folder, store.folder, RECIPE, SIZE)
    assert {name: (store.folder / name).stat().st_mtime_ns for name in FILES} == before
    assert sorted(path.name for path in store.folder.iterdir()) == sorted(FILES)


def test_only_what_changed_is_computed_again(captures_folder, store, tmp_path, monkeypatch):
    root = shutil.copytree(captures_folder, tmp_path / "captures")
    folder = shutil.copytree(store.folder, tmp_path / "faces")
    capture(root, "00004/01")
    save(root / "00001/01/Images/0/t.png", photograph(9, 0))
    asked = []
    compute = faces.shards.compute
    monkeypatch.setattr(faces.shards, "compute", lambda pieces, *rest: (asked.extend(pieces), compute(pieces, *rest)))
    again = faces.build(root, folder, RECIPE, SIZE, jobs=1)
    assert [len(piece.pictures) for piece in asked] == [2, 1]  # subject 00001, and the new one
    fresh = faces.build(root, tmp_path / "fresh", RECIPE, SIZE, jobs=1)
    assert contents(folder) == contents(tmp_path / "fresh")
    assert again.fingerprint == fresh.fingerprint != store.fingerprint


def test_another_truth_needs_no_picture(captures_folder, store, tmp_path, monkeypatch):
    root = shutil.copytree(captures_folder, tmp_path / "captures")
    folder = shutil.copytree(store.folder, tmp_path / "faces")
    (root / "gt.pkl").write_bytes(pickle.dumps({"00001/01": np.ones((106, 3))}))
    monkeypatch.setattr(faces.shards, "_write", None)  # a worker that were asked would fail
    again = faces.build(root, folder, RECIPE, SIZE, jobs=1)
    assert again.table["split"].tolist() == ["train", "test", "test", "test"]
    assert (again.points3d[0] == 1).all() and again.fingerprint != store.fingerprint
    np.testing.assert_array_equal(again.crops, store.crops)


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path):
    root = capture(
        tmp_path / "captures",
        *(f"{subject:05}/{expression:02}" for subject in range(1, 7) for expression in range(1, 4)),
    )
    whole = faces.build(root, tmp_path / "whole", RECIPE, SIZE, jobs=1)
    folder = tmp_path / "killed"
    command = f"from kpl import faces; faces.build({str(root)!r}, {str(folder)!r}, {RECIPE!r}, {SIZE}, jobs=1)"
    process = subprocess.Popen([sys.executable, "-c", command], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(folder.glob("shards/[!.]*.npz")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = list(folder.glob("shards/[!.]*.npz"))
    assert 1 <= len(finished) < 6 and not (folder / "done.json").exists()
    with pytest.raises(BadInput, match="no finished store"):
        faces.load(folder)
    (folder / ".crops.1.tmp.npy").write_bytes(b"left over by a kill a little later")
    faces.build(root, folder, RECIPE, SIZE, jobs=1)
    assert contents(folder) == contents(whole.folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_a_shard_that_is_there_is_not_made_again(captures_folder, tmp_path, monkeypatch):
    samples = faces.captures.find(captures_folder)
    pictures = list(samples[["view0", "view1", "view2"]].itertuples(index=False, name=None))
    pieces = faces.shards.plan(samples["subject"].tolist(), samples["sample"].tolist(), pictures, SIZE)
    assert [len(piece.pictures) for piece in pieces] == [2, 1, 1]
    faces.shards.compute(pieces[:2], tmp_path, SIZE, jobs=1)
    before = {piece.key: piece.file(tmp_path).stat().st_mtime_ns for piece in pieces[:2]}
    faces.shards.compute(pieces, tmp_path, SIZE, jobs=1)
    assert {piece.key: piece.file(tmp_path).stat().st_mtime_ns for piece in pieces[:2]} == before
    assert pieces[2].file(tmp_path).is_file()


def test_large_subjects_are_cut_into_several_shards():
    names = [f"00001/{i:03}" for i in range(100)]
    pieces = faces.shards.plan(["00001"] * 100, names, [(None, None, None)] * 100, SIZE)
    assert [len(piece.pictures) for piece in pieces] == [64, 36]


def test_the_studio_is_detected(tiny_captures, tmp_path):
    store = faces.build(tiny_captures, tmp_path, size=64, jobs=2)
    assert 3 * len(store.table) == len(list(tiny_captures.rglob("t.jpg"))) > 0
    assert (store.table[["status0", "status1", "status2"]] == "ok").all(axis=None)
    known = np.isfinite(store.points2d).all((1, 2, 3))
    np.testing.assert_array_equal(known, store.table["split"] == "train")
    inside = (store.points2d[known] > -0.05) & (store.points2d[known] < 1.05)
    assert inside.mean() > 0.99


@pytest.mark.parametrize("recipe, size", [("centerface", 0), ("", 0), ("centerface256", 9), ("centerface256", 4096)])
def test_an_unknown_recipe_is_refused(captures_folder, tmp_path, recipe, size):
    with pytest.raises(BadInput, match="the known ones are centerface256|is not in 16..2048"):
        faces.build(captures_folder, tmp_path, recipe, size)


def test_no_face_anywhere_is_refused(tmp_path):
    for view in range(3):
        save(tmp_path / f"captures/00001/01/Images/{view}/t.png", np.zeros((300, 200, 3), np.uint8))
    with pytest.raises(BadInput, match="no face was found in any picture"):
        faces.build(tmp_path / "captures", tmp_path / "faces", RECIPE, SIZE, jobs=1)


def test_a_damaged_store_is_refused(store, tmp_path):
    for name, damage in (
        ("targets.npz", b"x"),
        ("crops.npy", b"x"),
        ("done.json", b"{"),
        ("faces.csv", (store.folder / "faces.csv").read_bytes().rsplit(b"\n", 2)[0]),
    ):
        folder = shutil.copytree(store.folder, tmp_path / name)
        (folder / name).write_bytes(damage)
        with pytest.raises(BadInput, match="delete it"):
            faces.load(folder)


def test_counts_are_in_the_marker(store):
    counts = json.loads((store.folder / "done.json").read_text())["counts"]
    assert counts == {
        "samples": 4,
        "subjects": 3,
        "with_truth": 3,
        "ok": [3, 3, 3],
        "fallback": [0, 1, 0],
        "missing": [1, 0, 1],
    }
