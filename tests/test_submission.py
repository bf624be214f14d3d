import numpy as np
import pytest

from kpl import landmarks, submission
from kpl.errors import BadInput

NAMES = ["00001/01", "00001/other_2", "00002/07"]


@pytest.fixture
def points():
    return landmarks.MEAN_SHAPE + np.random.default_rng(0).normal(0, 0.05, (len(NAMES), landmarks.COUNT, 3))


@pytest.fixture
def path(tmp_path, points):
    submission.write(tmp_path / "submission.txt", NAMES, points)
    return tmp_path / "submission.txt"


def edit(path, line, text):
    """Replace line `line` (from 1) by `text`, or remove it with None."""
    lines = path.read_text().splitlines()
    lines[line - 1 : line] = [] if text is None else [text]
    path.write_text("\n".join(lines) + "\n")


def test_round_trip_to_six_decimals(path, points):
    names, read = submission.read(path)
    assert names == NAMES
    np.testing.assert_array_equal(read, np.round(points, 6))


def test_the_text_is_the_official_format(tmp_path):
    shape = np.zeros((1, landmarks.COUNT, 3))
    shape[0, 0] = 1, -0.1234567, 1e-7
    submission.write(tmp_path / "one.txt", ["00133/06"], shape)
    lines = (tmp_path / "one.txt").read_text().split("\n")
    assert lines[:3] == ["00133/06", "1.000000 -0.123457 0.000000", "0.000000 0.000000 0.000000"]
    assert len(lines) == 1 + landmarks.COUNT + 1 and lines[-1] == ""


def test_check_returns_the_expected_order(path, points):
    np.testing.assert_allclose(submission.check(path, NAMES[::-1]), points[::-1], atol=1e-6)


def test_check_names_missing_and_unknown_samples(path):
    with pytest.raises(BadInput, match="missing, the first is 00009/01"):
        submission.check(path, [*NAMES, "00009/01"])
    with pytest.raises(BadInput, match="do not belong here, the first is 00002/07"):
        submission.check(path, NAMES[:2])


@pytest.mark.parametrize(
    "line, text, message",
    [
        (5, "0.1 0.2", "line 5: three numbers of sample 00001/01"),
        (5, "0.1 0.2 x", "line 5: '0.1 0.2 x' holds"),
        (110, "0.1 nan 0.2", "line 110: '0.1 nan 0.2' holds"),
        (321, "0.1 inf 0.2", "line 321: '0.1 inf 0.2' holds"),
        (107, None, "line 107: three numbers"),
        (108, "00001/01", "sample 00001/01 comes more than once"),
        (108, "0.1 0.2 0.3", "line 108: a sample's name"),
        (50, "", "line 50: three numbers"),
        (321, None, "line 320: the file ends inside sample 00002/07, after 105 of its 106"),
        (1, "", "line 1: a sample's name"),
    ],
)
def test_bad_files_are_refused_with_the_line(path, line, text, message):
    edit(path, line, text)
    with pytest.raises(BadInput, match=message):
        submission.read(path)


def test_files_that_are_none(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "bytes.txt").write_bytes(bytes(range(128, 256)))
    for name, message in ("empty.txt", "line 1"), ("bytes.txt", "not a text file"), ("none.txt", "missing"):
        with pytest.raises(BadInput, match=message):
            submission.read(tmp_path / name)


def test_unfit_predictions_are_not_written(tmp_path, points):
    broken = points.copy()
    broken[1, 4, 2] = np.nan
    for names, shapes, message in (
        (NAMES, broken, "00001/other_2"),
        (NAMES[:2], points, "shape"),
        ([NAMES[0]] * 3, points, "more than once"),
        (["a b", "c", "d"], points, "one word"),
    ):
        with pytest.raises(BadInput, match=message):
            submission.write(tmp_path / "out.txt", names, shapes)
    assert not list(tmp_path.iterdir())
