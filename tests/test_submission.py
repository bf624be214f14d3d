import numpy as np
import pytest

from kpl import captures, landmarks, score, submission
from kpl.errors import BadInput
from kpl.reading import fixed_point

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


@pytest.mark.parametrize(
    "text", ["0.1 0.2 0.3", "-12.345678 1e-3 .5", "0.123456  0.2 0.3", "+0.123456 0.2 0.3", "1.0000001 0 0"]
)
def test_numbers_written_in_other_ways_are_read_as_python_reads_them(path, points, text):
    edit(path, 5, text)
    names, read = submission.read(path)
    assert fixed_point.parse(path.read_bytes()) is None and names == NAMES
    np.testing.assert_array_equal(read[0, 3], [float(word) for word in text.split()])
    np.testing.assert_array_equal(read[1:], np.round(points, 6)[1:])


def test_the_fast_reader_gives_the_bits_of_the_slow_one(path):
    data = path.read_bytes()
    names, fast = fixed_point.parse(data)
    slow_names, slow = submission._line_by_line(path, data)
    assert names == slow_names
    np.testing.assert_array_equal(fast, slow)


def test_mirrored_and_mis_scaled_shapes_are_noticed(points):
    assert submission.oddities(NAMES, points) == []
    odd = np.stack([points[0] * [-1, 1, 1], points[1] + 5, points[2] * 100])
    first, last = submission.oddities(NAMES, odd)
    assert first.startswith("00001/01 is mirrored") and "00002/07 is" in last and "times as large" in last


def test_the_commands_check_and_score_a_file(tiny_captures, tmp_path, capsys):
    truth = captures.truth(tiny_captures / "held_out")
    names, gt = list(truth), np.stack(list(truth.values()))
    good, poor, one = (str(tmp_path / name) for name in ("good.txt", "poor.txt", "one.txt"))
    submission.write(good, names, gt + np.random.default_rng(0).normal(0, 0.005, gt.shape))
    submission.write(poor, names[::-1], np.broadcast_to(landmarks.MEAN_SHAPE * [-1, 1, 1], gt.shape))
    submission.write(one, names[:1], gt[:1])
    folder, answers = str(tiny_captures), str(tiny_captures / "held_out")
    assert submission.main(["check", good, "--captures", folder]) == 0
    assert capsys.readouterr().out.strip().endswith(f"{len(names)} samples, complete and well-formed")
    assert submission.main(["check", poor, "--captures", folder]) == 0
    said = capsys.readouterr().out
    assert "is mirrored" in said and "and 4 more like these" in said and "one and the same shape" in said
    assert submission.main(["check", one, "--captures", folder]) == 1
    assert f"{len(names) - 1} of {len(names)} samples are missing" in capsys.readouterr().err
    assert submission.main(["check", one, "--captures", folder, "--split", "val"]) == 1
    assert "no sample of the split 'val': --split may be test, train" in capsys.readouterr().err
    assert submission.main(["score", good, "--truth", answers, "--against", poor]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"NME {score.nme(submission.check(good, names), gt).mean():.4f}" in lines[0] and "ratio 0.0" in lines[2]
    assert submission.main(["score", one, "--truth", answers]) == 1
