import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from kpl import captures
from kpl.errors import BadInput
from kpl.files import write_npz

from .made import competition, list_lines, release, scan, shape, write_pickle


@pytest.mark.parametrize("name", ["t.jpg", "T.JPEG", "t.png", "t.webp", "t.TIF", "t.heic"])
def test_competition_layout(tmp_path, name):
    competition(tmp_path, "00134/07", "00133/other_1", "00133/06", name=name)
    table = captures.find(tmp_path)
    assert list(table.columns) == ["sample", "subject", "expression", "split", "view0", "view1", "view2"]
    assert table["sample"].tolist() == ["00133/06", "00133/other_1", "00134/07"]
    assert table["subject"].tolist() == ["00133", "00133", "00134"]
    assert table["expression"].tolist() == ["06", "other_1", "07"]
    assert table["split"].tolist() == ["test"] * 3
    assert table.loc[0, "view2"] == str(tmp_path / "00133/06/Images/2" / name)
    assert table.attrs["problems"] == []


@pytest.mark.parametrize("sample", ["00133_06", "00133/06"])
def test_release_layout(tmp_path, sample):
    release(tmp_path, sample)
    scan(tmp_path / sample / "Fusion/gt.MAT", shape(0))
    table = captures.find(tmp_path)
    assert table.drop(columns=["view0", "view1", "view2"]).values.tolist() == [[sample, "00133", "06", "train"]]
    assert table.loc[0, "view1"] == str(tmp_path / sample / "1/t.bmp")


def test_split_comes_from_the_lists_then_from_the_truth(tmp_path):
    competition(tmp_path, "00001/01", "00002/01", "00003/01", "00004/01", "00005/01")
    for split, sample in (("train", "00001/01"), ("val", "00002/01"), ("test", "00003/01")):
        (tmp_path / f"{split}_list.txt").write_text("\n".join(list_lines(sample)))
    write_pickle(tmp_path / "gt.pkl", {"00003/01": shape(0), "00004/01": shape(0)})
    assert captures.find(tmp_path)["split"].tolist() == ["train", "val", "test", "train", "test"]


def test_missing_pictures_are_said_by_sample_and_the_rest_kept(tmp_path, caplog):
    competition(tmp_path, "00001/01", "00002/01")
    (tmp_path / "00001/01/Images/1/t.jpg").unlink()
    (tmp_path / "test_list.txt").write_text("\n".join(list_lines("00003/01")))
    with caplog.at_level(logging.WARNING, "kpl"):
        table = captures.find(tmp_path)
    assert table["sample"].tolist() == ["00001/01", "00002/01", "00003/01"]
    assert table.loc[0, "view1"] is None and table.loc[0, "view0"] is not None
    assert table.loc[2, ["view0", "view1", "view2"]].tolist() == [None] * 3
    assert table.attrs["problems"] == [record.getMessage() for record in caplog.records]
    assert [problem[:8] for problem in table.attrs["problems"]] == ["00001/01", "00003/01"]
    assert "view 1 is missing" in table.attrs["problems"][0] and "0, 1, 2" in table.attrs["problems"][1]


@pytest.mark.parametrize("read", [captures.find, captures.truth, captures.points2d, captures.boxes])
def test_a_folder_that_is_not_there(tmp_path, read):
    with pytest.raises(BadInput, match="nowhere is not a folder"):
        read(tmp_path / "nowhere")


def test_folders_of_the_wrong_level_are_refused_with_the_right_one(tmp_path):
    competition(tmp_path / "input/studio", "00001/01")
    with pytest.raises(BadInput, match=r"give .*input/studio\."):
        captures.find(tmp_path / "input")
    for inside in ("00001/01", "00001/01/Images"):
        with pytest.raises(BadInput, match="give the folder above"):
            captures.find(tmp_path / "input/studio" / inside)
    with pytest.raises(BadInput, match="pictures in no known layout, t.jpg for one: call three of a face anna/left.jpg"):
        captures.find(tmp_path / "input/studio/00001/01/Images/0")


@pytest.mark.parametrize(
    "files",
    [
        ["anna/left.jpg", "anna/middle.jpg", "anna/right.JPG"],
        ["anna/left/IMG_7.jpg", "anna/Middle/b.png", "anna/right/c d.webp"],
        ["anna_0.jpg", "anna_1.jpg", "anna_2.jpg"],
        ["anna_left.heic", "anna_middle.heic", "anna_right.heic"],
    ],
)
def test_photographs_as_people_lay_them_down(tmp_path, files):
    lay(tmp_path, *files, "notes_1.png", "anna/.left.jpg")  # a lone _1 is none of three
    table = captures.find(tmp_path)
    assert table["sample"].tolist() == ["anna"] and table.attrs["problems"] == []
    assert table.loc[0, ["view0", "view1", "view2"]].tolist() == [str(tmp_path / file) for file in files]


@pytest.mark.parametrize(
    "files, words",
    [
        (["anna/me.jpg", "anna/she.jpg"], r"no known layout, anna/me.jpg for one: .*anna/left.jpg, middle.jpg and right"),
        (["me.webp"], r"no known layout, me.webp for one: .*anna/left.jpg"),
        (["read.me"], "holds no pictures: call three of a face anna/left.jpg"),
        (["left.jpg", "middle.jpg", "right.jpg"], "give the folder above it"),
    ],
)
def test_a_folder_in_no_known_layout_is_told_the_nearest(tmp_path, files, words):
    lay(tmp_path / "photos", *files)
    with pytest.raises(BadInput, match=words):
        captures.find(tmp_path / "photos")


def test_links_are_followed_and_circles_noticed(tmp_path):
    competition(tmp_path / "disk", "00001/01", "00002/01")
    root = tmp_path / "mounted"
    (root / "00003").mkdir(parents=True)
    (root / "00001").symlink_to(tmp_path / "disk/00001")  # a subject
    (root / "00003/01").symlink_to(tmp_path / "disk/00002/01")  # a sample
    (root / "00003/above").symlink_to(root)
    assert captures.find(root)["sample"].tolist() == ["00001/01", "00003/01"]


def lay(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"not looked at")


def test_points2d(tmp_path):
    assert captures.points2d(tmp_path) == {}
    points = np.random.default_rng(0).normal(size=(2, 3, 106, 2)).astype(np.float32)
    write_npz(tmp_path / "points2d.npz", samples=np.array(["00001/01", "00001/02"]), points=points)
    found = captures.points2d(tmp_path)
    np.testing.assert_array_equal(found["00001/02"], points[1])
    write_npz(tmp_path / "points2d.npz", samples=np.array(["00001/01"]), points=points)
    with pytest.raises(BadInput, match="points2d.npz must hold N names"):
        captures.points2d(tmp_path)


def test_hidden_folders_are_no_captures(tmp_path):
    competition(tmp_path, "00001/01", ".trash/01", "__MACOSX/01")
    assert captures.find(tmp_path)["sample"].tolist() == ["00001/01"]


def test_many_problems_are_said_briefly_and_kept_in_full(tmp_path, caplog):
    competition(tmp_path, *(f"00001/{i:02}" for i in range(30)))
    for folder in tmp_path.glob("00001/*/Images/2"):
        shutil.rmtree(folder)
    with caplog.at_level(logging.WARNING, "kpl"):
        table = captures.find(tmp_path)
    assert len(table.attrs["problems"]) == 30
    assert len(caplog.records) == 21 and "and 10 more" in caplog.records[-1].getMessage()
