import logging
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from kpl import captures
from kpl.errors import BadInput
from kpl.files import write_npz
from kpl.reading.lists import read_list


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"the readers look at names only")


def competition(root: Path, *samples: str, name: str = "t.jpg") -> Path:
    for sample in samples:
        for view in range(3):
            picture(root / sample / "Images" / str(view) / name)
    return root


def release(root: Path, *samples: str, name: str = "t.bmp") -> Path:
    for sample in samples:
        for view in range(3):
            picture(root / sample / str(view) / name)
    return root


def shape(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(106, 3))


def scan(path: Path, landmarks: np.ndarray, column: bool = True) -> None:
    """Write a gt.mat in which `landmarks` are vertices, in a shuffled order, and a template with others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(300)[:106]

    def struct(points):
        vertices = rng.normal(size=(300, 3))
        vertices[order] = points
        return {
            "v": vertices,
            "f": np.array([[1, 2, 3]]),
            "kpt_ind": (order + 1).reshape((-1, 1) if column else (1, -1)),
            "tex": np.zeros((300, 3), np.uint8),
        }

    scipy.io.savemat(path, {"new_kpt_gt_obj": struct(landmarks), "neck_obj09": struct(landmarks + 9)})


def list_lines(sample: str, box: str = "10 20 30 40") -> list[str]:
    return [line for view in range(3) for line in (f"{sample}/Images/{view}/t.jpg", box)]


def write_pickle(path: Path, content: object) -> None:
    path.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize("name", ["t.jpg", "t.JPG", "T.jpeg", "t.png", "t.bmp"])
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
    scan(tmp_path / sample / "fusion/gt.mat", shape(0))
    table = captures.find(tmp_path)
    assert table.drop(columns=["view0", "view1", "view2"]).values.tolist() == [[sample, "00133", "06", "train"]]
    assert table.loc[0, "view1"] == str(tmp_path / sample / "1/t.bmp")


@pytest.mark.parametrize("column", [True, False])
def test_landmarks_of_a_scan(tmp_path, column):
    release(tmp_path, "00133_06")
    scan(tmp_path / "00133_06/fusion/gt.mat", shape(0), column)
    found = captures.truth(tmp_path)
    assert list(found) == ["00133_06"]
    np.testing.assert_array_equal(found["00133_06"], shape(0))


def test_pickle_comes_before_scan_and_a_file_can_be_given(tmp_path):
    release(tmp_path, "00133/06", "00133/07")
    for sample in ("00133/06", "00133/07"):
        scan(tmp_path / sample / "fusion/gt.mat", shape(0))
    write_pickle(tmp_path / "train_gt.pkl", {"00133/06": shape(1).astype(np.float32)})
    found = captures.truth(tmp_path)
    assert found["00133/06"].dtype == np.float64
    np.testing.assert_array_equal(found["00133/06"], shape(1).astype(np.float32))
    np.testing.assert_array_equal(found["00133/07"], shape(0))
    assert list(captures.truth(tmp_path / "train_gt.pkl")) == ["00133/06"]


def test_no_truth_is_an_empty_dict(tmp_path):
    competition(tmp_path, "00133/06")
    assert captures.truth(tmp_path) == {}
    assert captures.points2d(tmp_path) == {}
    assert captures.boxes(tmp_path) == {}


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


def test_boxes_of_all_lists(tmp_path):
    competition(tmp_path, "00001/01", "00002/01")
    (tmp_path / "train_list.txt").write_bytes("\r\n".join(list_lines("00001/01", "1 2 3 4.5")).encode("utf-8-sig"))
    (tmp_path / "test_list.txt").write_text("\n".join(list_lines("00002/01")) + "\n\n")
    found = captures.boxes(tmp_path)
    np.testing.assert_array_equal(found["00001/01"], [[1, 2, 3, 4.5]] * 3)
    np.testing.assert_array_equal(found["00002/01"], [[10, 20, 30, 40]] * 3)


@pytest.mark.parametrize(
    "line, text, message",
    [
        (2, "1 2 3", "line 2: '1 2 3' is not a box"),
        (2, "1 2 three 4", "line 2: '1 2 three 4' is not a box"),
        (4, "1 2 nan 4", "line 4: '1 2 nan 4' is not a box"),
        (6, "30 2 3 4", "line 6: '30 2 3 4' is not a box"),
        (1, "00001/01/Images/0/t.gif", "line 1: '00001/01/Images/0/t.gif' is not a picture of view 0"),
        (3, "00001/01/Images/2/t.jpg", "line 3: '00001/01/Images/2/t.jpg' is not a picture of view 1"),
        (5, "00001/02/Images/2/t.jpg", "line 5: '00001/02/Images/2/t.jpg' is not view 2 of 00001/01"),
        (9, None, "line 11: the file ends within a sample"),
        (7, "00001/01/Images/0/t.jpg", "line 9: .* is not view 1 of 00001/01"),
    ],
)
def test_broken_list_lines_are_named(tmp_path, line, text, message):
    lines = list_lines("00001/01") + list_lines("00001/02")
    lines = lines[:11] if text is None else lines[: line - 1] + [text] + lines[line:]
    (tmp_path / "val_list.txt").write_text("\n".join(lines))
    competition(tmp_path, "00001/01")
    with pytest.raises(BadInput, match=rf"val_list\.txt, {message}"):
        captures.find(tmp_path)


def test_a_sample_is_listed_once(tmp_path):
    (tmp_path / "val_list.txt").write_text("\n".join(2 * list_lines("00001/01")))
    with pytest.raises(BadInput, match="line 7: 00001/01 is listed twice"):
        read_list(tmp_path / "val_list.txt")
    for split in ("val", "train"):
        (tmp_path / f"{split}_list.txt").write_text("\n".join(list_lines("00001/01")))
    with pytest.raises(BadInput, match="val_list.txt: 00001/01 is also in train_list.txt"):
        captures.boxes(tmp_path)


def test_a_list_of_bytes_is_refused(tmp_path):
    (tmp_path / "val_list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="val_list.txt cannot be read as text"):
        captures.boxes(tmp_path)


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
    with pytest.raises(BadInput, match="holds no pictures in a known layout"):
        captures.find(tmp_path / "input/studio/00001/01/Images/0")


def test_malformed_truth_is_said_and_left_out(tmp_path, caplog):
    broken = shape(0)
    broken[3, 1] = np.nan
    write_pickle(tmp_path / "gt.pkl", {"good": shape(1), "nan": broken, "short": np.zeros((105, 3)), "text": "x"})
    release(tmp_path, "scan", "empty", "index")
    scan(tmp_path / "scan/fusion/gt.mat", shape(2))
    (tmp_path / "empty/fusion").mkdir()
    (tmp_path / "empty/fusion/gt.mat").write_bytes(b"damaged")
    (tmp_path / "index/fusion").mkdir()
    scipy.io.savemat(
        tmp_path / "index/fusion/gt.mat", {"new_kpt_gt_obj": {"v": np.zeros((5, 3)), "kpt_ind": np.arange(106)}}
    )
    with caplog.at_level(logging.WARNING, "kpl"):
        found = captures.truth(tmp_path)
    assert sorted(found) == ["good", "scan"]
    said = {record.getMessage().split(":")[0]: record.getMessage() for record in caplog.records}
    assert sorted(said) == ["empty", "index", "nan", "short", "text"]
    assert "NaN" in said["nan"] and "(105, 3)" in said["short"] and "gt.mat is no scan" in said["empty"]


def test_a_pickle_that_calls_something_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "crater"),)

    competition(tmp_path, "00001/01")
    write_pickle(tmp_path / "gt.pkl", {"00001/01": Bomb()})
    for read in (captures.truth, captures.find):
        with pytest.raises(BadInput, match=r"gt\.pkl asks for posix\.mkdir"):
            read(tmp_path)
    assert not (tmp_path / "crater").exists()


def test_points2d(tmp_path):
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
