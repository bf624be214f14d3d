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
from PIL import Image
from skimage import data

from kpl import crop, faces
from kpl.cropping import recipes
from kpl.cropping.detected import iou
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


@pytest.fixture(scope="module", autouse=True)
def few_pictures_decide():
    """The orientation of these tiny sets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faces.orientation, "ENOUGH", 6)
        yield


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
        ["excluded", "ok", "ok"],
        ["ok", "ok", "excluded"],
    ]
    assert table["outcome"].tolist() == ["ok", "fallback", "fallback", "fallback"]
    assert [table["reason1"][1], table["reason0"][2], table["reason2"][3]] == ["no face found", "no picture", "missing"]
    assert table["picture1"][1] == "00001/02/Images/1/t.png" and table["picture2"][3] == ""
    assert table["score0"].notna().tolist() == [True, True, False, True]
    assert table["side1"].notna().all() and table["side0"].isna().tolist() == [False, False, True, False]
    assert set(table["width1"]) == {200} and set(table["height1"]) == {300}
    assert store.recipe == {"name": RECIPE, "detector": "centerface", "cut": "square", "size": SIZE}
    assert store.orientation.startswith("turned by 90 degrees") and store.seen.sum() == 10


def test_crops_are_upright_squares_of_the_pictures(store):
    assert store.crops.shape == (4, 3, SIZE, SIZE, 3) and store.crops.dtype == np.uint8
    assert isinstance(store.crops, np.memmap) and store.crops[1].flags.c_contiguous  # a sample is one read
    for i, row in store.table.iterrows():
        for view in range(3):
            if row[f"status{view}"] == "excluded":
                assert not store.crops[i, view].any()
            elif row[f"status{view}"] == "ok":
                square = crop.Square(*(int(row[f"{name}{view}"]) for name in ("x", "y", "side")))
                picture = photograph(int(row["subject"]), view)
                expected = crop.crop(picture, square, SIZE).astype(int)
                assert np.abs(store.crops[i, view] - expected).max() <= 1  # turned after it was scaled, not before


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
    np.testing.assert_allclose(store.on_picture(0, 2, expected), [x, y], atol=1e-4)


def test_everything_odd_is_said_by_sample(captures_folder, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "kpl"):
        faces.build(captures_folder, tmp_path, RECIPE, SIZE, jobs=1)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert any("00003/01" in line and "view 2 is missing" in line for line in said)
    assert any(line.startswith("00001/02: view 1 is fallback: no face found") for line in said)
    assert any(line.startswith("00002/01: view 0 is excluded: no picture") for line in said)


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
    monkeypatch.setattr(faces.shards, "compute", lambda pieces, *rest: calls.append(len(pieces)))
    calls = []
    again = faces.build(root, folder, RECIPE, SIZE, jobs=1)
    assert again.table["split"].tolist() == ["train", "test", "test", "test"]
    assert (again.points3d[0] == 1).all() and again.fingerprint != store.fingerprint
    np.testing.assert_array_equal(again.crops, store.crops)
    assert calls == [0]


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path):
    root = capture(
        tmp_path / "captures",
        *(f"{subject:05}/{expression:02}" for subject in range(1, 7) for expression in range(1, 4)),
    )
    whole = faces.build(root, tmp_path / "whole", RECIPE, SIZE, jobs=1)
    folder = tmp_path / "killed"
    command = f"from kpl import faces; faces.build({str(root)!r}, {str(folder)!r}, {RECIPE!r}, {SIZE}, jobs=1)"
    process = subprocess.Popen([sys.executable, "-c", command], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
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
    job = faces.shards.Job(recipes.get(RECIPE, SIZE), crop.LYING)
    pieces = faces.shards.plan(samples["subject"].tolist(), samples["sample"].tolist(), pictures, job)
    assert [len(piece.pictures) for piece in pieces] == [2, 1, 1]
    faces.shards.compute(pieces[:2], tmp_path, job, jobs=1)
    before = {piece.key: piece.file(tmp_path).stat().st_mtime_ns for piece in pieces[:2]}
    faces.shards.compute(pieces, tmp_path, job, jobs=1)
    assert {piece.key: piece.file(tmp_path).stat().st_mtime_ns for piece in pieces[:2]} == before
    assert pieces[2].file(tmp_path).is_file()


@pytest.mark.parametrize("size, expected", [(SIZE, [64, 36]), (600, [20] * 5)])
def test_large_subjects_are_cut_into_several_shards(size, expected):
    names = [f"00001/{i:03}" for i in range(100)]
    job = faces.shards.Job(recipes.get(RECIPE, size), crop.LYING)
    pieces = faces.shards.plan(["00001"] * 100, names, [(None, None, None)] * 100, job)
    assert [len(piece.pictures) for piece in pieces] == expected


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
        "excluded_samples": 0,
        "ok": [3, 3, 3],
        "fallback": [0, 1, 0],
        "excluded": [1, 0, 1],
    }


def test_a_store_of_the_first_format_is_still_read(store, tmp_path):
    folder = shutil.copytree(store.folder, tmp_path / "old")
    table = store.table.copy()
    for view in range(3):
        table[f"status{view}"] = table[f"status{view}"].replace("excluded", "missing")
    added = [f"{name}{view}" for name in ("reason", "roll", "picture") for view in range(3)]
    table.drop(columns=["outcome", *added]).to_csv(folder / "faces.csv", index=False)
    write_npz(
        folder / "targets.npz",
        samples=store.table["sample"].to_numpy(str),
        points3d=store.points3d,
        points2d=store.points2d,
    )
    done = json.loads((folder / "done.json").read_text())
    del done["orientation"]
    (folder / "done.json").write_text(json.dumps(done))
    old = faces.load(folder)
    np.testing.assert_allclose(old.transforms, store.transforms, atol=1e-9)
    np.testing.assert_array_equal(old.known, store.known)
    assert old.table["status0"].tolist() == store.table["status0"].tolist()
    assert old.table["outcome"].tolist() == store.table["outcome"].tolist()


def test_fewer_than_two_good_views_exclude_a_sample_from_training_but_keep_it(tmp_path):
    root = capture(tmp_path / "captures", "00001/01", "00002/01", "00003/01")
    for name in ("00002/01/Images/0", "00003/01/Images/0", "00003/01/Images/2"):
        (root / name / "t.png").write_bytes(b"")
    shape = np.random.default_rng(0).normal(size=(106, 3))
    (root / "gt.pkl").write_bytes(pickle.dumps(dict.fromkeys(("00001/01", "00002/01", "00003/01"), shape)))
    store = faces.build(root, tmp_path / "faces", size=SIZE, jobs=1)
    assert store.table["outcome"].tolist() == ["ok", "fallback", "excluded"]
    assert store.has_truth.all() and store.known.tolist() == [True, True, False]
    assert not store.crops[2, [0, 2]].any() and store.crops[2, 1].any()


def test_every_kind_of_damage_has_its_outcome_and_spoils_no_other(tmp_path):
    """Twelve kinds of damage to a tenth of the samples each; all other crops stay the same byte for byte."""
    samples = [f"{subject:05}/01" for subject in range(1, 11)]
    clean = faces.build(capture(tmp_path / "clean", *samples), tmp_path / "clean_faces", size=SIZE, jobs=1)
    root = capture(tmp_path / "damaged", *samples)
    grey = [Image.fromarray(crop.lying(photograph(subject, 0))).convert("L") for subject in range(1, 11)]

    def at(i, view=0):
        return root / samples[i] / f"Images/{view}/t.png"

    at(0).write_bytes(b"")
    at(1).write_text("not a picture")
    at(2).write_bytes(at(2).read_bytes()[:20_000])
    at(3).unlink()
    grey[4].save(at(4))
    Image.fromarray(np.asarray(grey[5]).astype(np.uint16) * 257).save(at(5))
    Image.fromarray(crop.lying(photograph(7, 0))).convert("CMYK").save(at(6), "JPEG", quality=95)
    Image.new("RGB", grey[7].size, (90, 90, 90)).save(at(7))
    x, side = int(clean.table["x0"][8]), int(clean.table["side0"][8])
    save(at(8), np.ascontiguousarray(photograph(9, 0)[:, x + int(0.4 * side) :]))
    tag = Image.Exif()
    tag[0x0112] = 8  # its pixels are upright already, and the tag says that it differs from the others
    Image.fromarray(photograph(10, 0)).save(at(9), "JPEG", quality=95, exif=tag)
    save(at(0, 2), np.hstack([photograph(1, 2), photograph(1, 2)[:, ::-1]]))
    Image.fromarray(crop.lying(photograph(2, 2))).resize((6000, 4000)).save(at(1, 2), "JPEG")  # twenty times as large

    store = faces.build(root, tmp_path / "faces", size=SIZE, jobs=1)
    assert list(zip(store.table["status0"], store.table["reason0"])) == [
        ("excluded", "empty file"),
        ("excluded", "no picture"),
        ("excluded", "truncated"),
        ("excluded", "missing"),
        ("ok", ""),
        ("ok", ""),
        ("ok", ""),
        ("fallback", "no face found"),
        ("fallback", "cut by the border"),
        ("ok", "turned as its EXIF tag says"),
    ]
    assert (store.table["status2"][0], store.table["reason2"][0]) == ("ok", "the main one of 2 faces")
    assert (store.table["status2"][1], store.table["height2"][1]) == ("ok", 6000)
    assert (store.table["outcome"] != "excluded").all()  # two good views of three keep a sample
    np.testing.assert_array_equal(store.crops[:, 1], clean.crops[:, 1])
    np.testing.assert_array_equal(store.crops[2:, 2], clean.crops[2:, 2])
    for i in (4, 5, 6, 9):  # and what could be read shows the same face
        assert iou(square(store, i, 0), square(clean, i, 0)) > 0.8
    assert iou(square(store, 1, 2) / 20, square(clean, 1, 2)) > 0.8


def square(store: faces.FaceStore, row: int, view: int) -> np.ndarray:
    x, y, side = (store.table[f"{name}{view}"][row] for name in ("x", "y", "side"))
    return np.array([x, y, x + side, y + side])


def test_listed_boxes_are_cut_without_a_detector(tiny_captures, tmp_path):
    root = shutil.copytree(tiny_captures, tmp_path / "captures", copy_function=os.symlink)
    boxes = faces.captures.boxes(root)
    assert boxes, "the studio writes lists"
    store = faces.build(root, tmp_path / "faces", "list256", 64, jobs=1)
    listed = store.table["sample"].isin(boxes).to_numpy()
    assert (store.table.loc[listed, "score1"] == 1).all()
    row = int(np.flatnonzero(listed)[0])
    box = boxes[store.table["sample"][row]][1]
    corners = store.on_picture(row, 1, np.array([[0.0, 0.0], [1.0, 1.0]]))
    np.testing.assert_allclose(np.sort(corners, axis=0).ravel(), box, atol=1.01)


def test_lists_are_asked_for(tmp_path):
    root = capture(tmp_path / "captures", "00001/01")
    with pytest.raises(BadInput, match="recipe list256 wants list files with face boxes"):
        faces.build(root, tmp_path / "faces", "list256", SIZE, jobs=1)


def test_swapped_views_are_put_in_their_places(store, captures_folder, tmp_path):
    swapped = faces.build(captures_folder, tmp_path, size=SIZE, jobs=1, side="swapped")
    np.testing.assert_array_equal(swapped.crops[0, 1], store.crops[0, 1])
    assert swapped.table["picture0"][0] == "00001/01/Images/2/t.png"
    with np.load(captures_folder / "points2d.npz") as file:
        np.testing.assert_allclose(swapped.on_picture(0, 0, swapped.points2d[0, 0]), file["points"][0, 2], atol=1e-3)
