import numpy as np
import pytest

from kpl import captures
from kpl.captures.lists import read_list
from kpl.errors import BadInput

from .made import competition, list_lines


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
        (7, "00003/01/Images/0/t.jpg", "line 9: .* is not view 1 of 00003/01"),
        (7, "00001/01/Images/0/t.jpg", "line 7: 00001/01 is listed twice"),
    ],
)
def test_broken_list_lines_are_named(tmp_path, line, text, message):
    lines = list_lines("00001/01") + list_lines("00001/02")
    lines = lines[:11] if text is None else lines[: line - 1] + [text] + lines[line:]
    (tmp_path / "val_list.txt").write_text("\n".join(lines))
    competition(tmp_path, "00001/01")
    with pytest.raises(BadInput, match=rf"val_list\.txt, {message}"):
        captures.find(tmp_path)


@pytest.mark.parametrize("before", ["{root}/", "./", "/elsewhere/pic/", "D:\\faces\\"])
def test_paths_of_any_kind_name_the_samples_that_are_there(tmp_path, before):
    competition(tmp_path, "00001/01")
    lines = [line if " " in line else before.format(root=tmp_path) + line for line in list_lines("00001/01")]
    (tmp_path / "val_list.txt").write_text("\n".join(lines))
    table = captures.find(tmp_path)
    assert table["sample"].tolist() == ["00001/01"] and table["split"].tolist() == ["val"]


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
