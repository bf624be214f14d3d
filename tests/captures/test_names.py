import logging

import numpy as np
import pytest

from kpl import captures, submission
from kpl.errors import BadInput
from kpl.files import write_npz

from .made import ODD_NAMES, competition, list_lines, release, scan, shape, write_pickle


@pytest.mark.parametrize(
    "sample, subject, expression",
    [
        ("00133/06", "00133", "06"),
        ("00133/other_1", "00133", "other_1"),
        ("00133_06", "00133", "06"),
        ("00133_other_1", "00133", "other_1"),
        ("john_doe/01", "john_doe", "01"),
        ("john%20doe_01", "john%20doe", "01"),
        ("person0", "person0", ""),
        ("_new", "_new", ""),
    ],
)
def test_one_rule_for_subject_and_expression(tmp_path, sample, subject, expression):
    assert captures.subject_expression(sample) == (subject, expression)
    table = captures.find(competition(tmp_path, sample))
    assert table.loc[0, ["subject", "expression"]].tolist() == [subject, expression]


@pytest.mark.parametrize("layout", [competition, release])
def test_any_name_joins_everywhere_and_fits_a_submission(tmp_path, layout):
    layout(tmp_path, *ODD_NAMES)
    shapes = np.stack([shape(seed) for seed in range(len(ODD_NAMES))])
    write_pickle(tmp_path / "gt.pkl", dict(zip(ODD_NAMES, shapes)))
    write_npz(tmp_path / "points2d.npz", samples=np.array(list(ODD_NAMES)), points=np.zeros((len(shapes), 3, 106, 2)))
    listed = [line for name in ODD_NAMES for line in list_lines(name)]
    (tmp_path / "train_list.txt").write_text("\n".join(listed), encoding="utf-8")
    table = captures.find(tmp_path)
    names = table["sample"].tolist()
    assert names == sorted(ODD_NAMES.values()) and table.notna().all(axis=None)
    for read in (captures.truth, captures.points2d, captures.boxes):
        assert sorted(read(tmp_path)) == names
    found = captures.truth(tmp_path)
    for (name, word), points in zip(ODD_NAMES.items(), shapes):
        np.testing.assert_array_equal(found[word], points)
        assert f"/{name}/" in table.set_index("sample").loc[word, "view1"]
    submission.write(tmp_path / "submission.txt", names, np.stack([found[name] for name in names]))
    assert submission.read(tmp_path / "submission.txt")[0] == names


def test_white_space_is_said_once(tmp_path, caplog):
    competition(tmp_path, *(f"john doe/{i:02}" for i in range(30)), "00001/01")
    with caplog.at_level(logging.WARNING, "kpl"):
        table = captures.find(tmp_path)
    (said,) = table.attrs["problems"]
    assert said.startswith("30 names have white space") and "john doe/00 is john%20doe/00" in said
    assert [record.getMessage() for record in caplog.records] == [said]
    assert table["subject"].unique().tolist() == ["00001", "john%20doe"]


def test_a_name_does_not_hang_on_its_neighbours(tmp_path):
    """Else a sample would be called one way where its truth is read and another way where its pictures are."""
    release(tmp_path, "a b_01")
    scan(tmp_path / "a b_01/fusion/gt.mat", shape(0))
    assert list(captures.truth(tmp_path)) == captures.find(tmp_path)["sample"].tolist() == ["a%20b_01"]
    release(tmp_path, "a_b_01", "a\tb_01")
    assert captures.find(tmp_path)["sample"].tolist() == ["a%09b_01", "a%20b_01", "a_b_01"]
    assert list(captures.truth(tmp_path)) == ["a%20b_01"]


def test_no_two_samples_have_one_name(tmp_path):
    competition(tmp_path, "a b/01", "a%20b/01")
    for read in (captures.find, captures.truth):
        with pytest.raises(BadInput, match="would both be the sample a%20b/01: rename one"):
            read(tmp_path)


def test_a_name_that_is_no_text_is_refused(tmp_path):
    competition(tmp_path, "M\udcfcller/01")  # a byte of Latin-1
    with pytest.raises(BadInput, match=r"M\\udcfcller/01' is not UTF-8: rename it"):
        captures.find(tmp_path)
