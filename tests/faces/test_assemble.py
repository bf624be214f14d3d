"""Whole stores: what stands in them, that they survive kills and changes, and what becomes of damaged captures."""

import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from kpl import captures, faces
from kpl.errors import BadInput
from kpl.faces import assemble, geometry, recipes
from kpl.files import read_json

from .made import FILES, RECIPE, SIZE, capture, contents, lying, photograph, save

pytestmark = pytest.mark.usefixtures("few_pictures_decide")


def test_the_table_says_what_became_of_each_picture(store):
    table = store.table
    assert table["sample"].tolist() == ["00001/01", "00001/02", "00002/01", "00003/01"]
    assert table["subject"].tolist() == ["00001", "00001", "00002", "00003"]
    assert table["expression"].tolist() == ["01", "02", "01", "01"]
    assert table["split"].tolist() == ["train", "train", "train", "test"]
    assert table[["status0", "status1", "status2"]].to_numpy().tolist() == [
        ["ok", "ok", "ok"],
        ["ok", "excluded", "ok"],
        ["excluded", "ok", "ok"],
        ["ok", "ok", "excluded"],
    ]
    assert table["outcome"].tolist() == ["ok", "fallback", "fallback", "fallback"]
    assert [table["reason1"][1], table["reason0"][2], table["reason2"][3]] == ["no face found", "no picture", "missing"]
    assert table["picture1"][1] == "00001/02/Images/1/t.png" and table["picture2"][3] == ""
    assert table["score0"].notna().tolist() == [True, True, False, True]
    assert table["side1"].notna().tolist() == [True, False, True, True] and table["side0"].isna().tolist() == [
        False,
        False,
        True,
        False,
    ]
    assert set(table["width1"]) == {200} and set(table["height1"]) == {300}
    assert store.recipe == {"name": RECIPE, "detector": "centerface", "cut": "square", "size": SIZE}
    assert store.orientation.startswith("turned by 90 degrees") and store.seen.sum() == 9


def test_crops_are_upright_squares_of_the_pictures(store):
    assert store.crops.shape == (4, 3, SIZE, SIZE, 3) and store.crops.dtype == np.uint8
    assert isinstance(store.crops, np.memmap) and store.crops[1].flags.c_contiguous  # a sample is one read
    for i, row in store.table.iterrows():
        for view in range(3):
            if row[f"status{view}"] == "excluded":
                assert not store.crops[i, view].any()
            elif row[f"status{view}"] == "ok":
                square = geometry.Square(*(int(row[f"{name}{view}"]) for name in ("x", "y", "side")))
                picture = photograph(int(row["subject"]), view)
                expected = geometry.crop(picture, square, SIZE).astype(int)
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
    assert any(line.startswith("00001/02: view 1 is excluded: no face found") for line in said)
    assert any(line.startswith("00002/01: view 0 is excluded: no picture") for line in said)


def test_the_number_of_processes_does_not_show(captures_folder, store, tmp_path):
    faces.build(captures_folder, tmp_path, RECIPE, SIZE, jobs=1)
    assert contents(tmp_path) == contents(store.folder)


def test_a_finished_store_is_left_alone(captures_folder, store):
    before = {name: (store.folder / name).stat().st_mtime_ns for name in FILES}
    faces.build(captures_folder, store.folder, RECIPE, SIZE)
    assert {name: (store.folder / name).stat().st_mtime_ns for name in FILES} == before
    assert sorted(path.name for path in store.folder.iterdir()) == sorted(FILES)


def test_a_store_of_changed_captures_is_that_of_a_fresh_folder(captures_folder, store, tmp_path):
    root = shutil.copytree(captures_folder, tmp_path / "captures")
    folder = shutil.copytree(store.folder, tmp_path / "faces")
    capture(root, "00004/01")
    save(root / "00001/01/Images/0/t.png", photograph(9, 0))
    again = faces.build(root, folder, RECIPE, SIZE, jobs=1)
    fresh = faces.build(root, tmp_path / "fresh", RECIPE, SIZE, jobs=1)
    assert contents(folder) == contents(tmp_path / "fresh")
    assert again.fingerprint == fresh.fingerprint != store.fingerprint


def test_another_truth_is_another_store(captures_folder, store, tmp_path):
    root = shutil.copytree(captures_folder, tmp_path / "captures")
    folder = shutil.copytree(store.folder, tmp_path / "faces")
    (root / "gt.pkl").write_bytes(pickle.dumps({"00001/01": np.ones((106, 3))}))
    again = faces.build(root, folder, RECIPE, SIZE, jobs=1)
    assert again.table["split"].tolist() == ["train", "test", "test", "test"]
    assert (again.points3d[0] == 1).all() and again.fingerprint != store.fingerprint
    np.testing.assert_array_equal(again.crops, store.crops)


def test_a_store_depends_on_the_code(captures_folder, store, tmp_path, monkeypatch):
    folder = shutil.copytree(store.folder, tmp_path / "faces")
    monkeypatch.setattr(assemble, "_CODE", "of tomorrow")
    again = faces.build(captures_folder, folder, RECIPE, SIZE, jobs=1)
    assert again.fingerprint == store.fingerprint
    assert read_json(folder / "done.json")["inputs"] != read_json(store.folder / "done.json")["inputs"]


def test_a_shard_that_is_there_is_not_made_again(captures_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(assemble, "MOST_SAMPLES", 2)
    shards = assemble.plan(captures.find(captures_folder), {}, recipes.get(RECIPE, SIZE))
    assert [len(shard.pictures) for shard in shards] == [2, 2]
    files = [tmp_path / f"{shard.name}.npz" for shard in shards]
    assemble.compute(shards[:1], tmp_path, jobs=1)
    before = files[0].stat().st_mtime_ns
    assemble.compute(shards, tmp_path, jobs=1)
    assert files[0].stat().st_mtime_ns == before and files[1].is_file()


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path):
    root = capture(
        tmp_path / "captures", *(f"{subject:05}/{expression:02}" for subject in range(1, 7) for expression in range(1, 4))
    )
    whole = faces.build(root, tmp_path / "whole", RECIPE, SIZE, jobs=1)
    folder = tmp_path / "killed"
    command = f"from kpl import faces; faces.build({str(root)!r}, {str(folder)!r}, {RECIPE!r}, {SIZE}, jobs=1)"
    process = subprocess.Popen([sys.executable, "-c", command], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(folder.glob("shards/*/[!.]*.npz")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = list(folder.glob("shards/*/[!.]*.npz"))
    assert 1 <= len(finished) < 3 and not (folder / "done.json").exists()
    with pytest.raises(BadInput, match="no finished store"):
        faces.load(folder)
    (folder / ".crops.1.tmp.npy").write_bytes(b"left over by a kill a little later")
    faces.build(root, folder, RECIPE, SIZE, jobs=1)
    assert contents(folder) == contents(whole.folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


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
    grey = [Image.fromarray(lying(photograph(subject, 0))).convert("L") for subject in range(1, 11)]

    def at(i, view=0):
        return root / samples[i] / f"Images/{view}/t.png"

    at(0).write_bytes(b"")
    at(1).write_text("not a picture")
    at(2).write_bytes(at(2).read_bytes()[:20_000])
    at(3).unlink()
    grey[4].save(at(4))
    Image.fromarray(np.asarray(grey[5]).astype(np.uint16) * 257).save(at(5))
    Image.fromarray(lying(photograph(7, 0))).convert("CMYK").save(at(6), "JPEG", quality=95)
    Image.new("RGB", grey[7].size, (90, 90, 90)).save(at(7))
    x, side = int(clean.table["x0"][8]), int(clean.table["side0"][8])
    save(at(8), np.ascontiguousarray(photograph(9, 0)[:, x + int(0.4 * side) :]))
    tag = Image.Exif()
    tag[0x0112] = 8  # its pixels are upright already, and the tag says that it differs from the others
    Image.fromarray(photograph(10, 0)).save(at(9), "JPEG", quality=95, exif=tag)
    save(at(0, 2), np.hstack([photograph(1, 2), photograph(1, 2)[:, ::-1]]))
    Image.fromarray(lying(photograph(2, 2))).resize((6000, 4000)).save(at(1, 2), "JPEG")  # twenty times as large

    store = faces.build(root, tmp_path / "faces", size=SIZE, jobs=1)
    assert list(zip(store.table["status0"], store.table["reason0"])) == [
        ("excluded", "empty file"),
        ("excluded", "no picture"),
        ("excluded", "truncated"),
        ("excluded", "missing"),
        ("ok", ""),
        ("ok", ""),
        ("ok", ""),
        ("excluded", "no face found"),
        ("fallback", "cut by the border"),
        ("ok", "turned as its EXIF tag says"),
    ]
    assert (store.table["status2"][0], store.table["reason2"][0]) == ("ok", "the main one of 2 faces")
    assert (store.table["status2"][1], store.table["height2"][1]) == ("ok", 6000)
    assert (store.table["outcome"] != "excluded").all()  # two good views of three keep a sample
    np.testing.assert_array_equal(store.crops[:, 1], clean.crops[:, 1])
    np.testing.assert_array_equal(store.crops[2:, 2], clean.crops[2:, 2])
    for i in (4, 5, 6, 9):  # and what could be read shows the same face
        np.testing.assert_allclose(square(store, i, 0), square(clean, i, 0), atol=0.1 * square(clean, i, 0)[2])
    np.testing.assert_allclose(square(store, 1, 2) / 20, square(clean, 1, 2), atol=0.1 * square(clean, 1, 2)[2])


def square(store: faces.FaceStore, row: int, view: int) -> np.ndarray:
    """x, y and side."""
    return np.array([store.table[f"{name}{view}"][row] for name in ("x", "y", "side")], float)


def test_listed_boxes_are_cut_without_a_detector(tiny_captures, tmp_path):
    root = shutil.copytree(tiny_captures, tmp_path / "captures", copy_function=os.symlink)
    boxes = captures.boxes(root)
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


def test_all_cores_of_a_machine_that_cannot_be_asked_for_its_share(tmp_path, monkeypatch):
    """As macOS, which has no sched_getaffinity."""
    monkeypatch.delattr(os, "sched_getaffinity")
    store = faces.build(capture(tmp_path / "captures", "00001/01"), tmp_path / "faces", size=SIZE)
    assert store.table["outcome"].tolist() == ["ok"]


def test_strange_names_come_back_as_they_were(tmp_path):
    names = [
        '00001"quoted',
        "00002,comma",
        "00003_<!--<script>",
        "00004_\u05e9\u05dc\u05d5\u05dd",
        "00005_" + 150 * "x",
        "00006/NA",
    ]
    store = faces.build(capture(tmp_path / "captures", *names), tmp_path / "faces", size=SIZE, jobs=1)
    assert store.table["sample"].tolist() == sorted(names) and (store.table["outcome"] == "ok").all()
    assert faces.load(tmp_path / "faces").table["picture0"].tolist() == [f"{name}/Images/0/t.png" for name in sorted(names)]
