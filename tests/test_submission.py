import numpy as np
import pytest
from captures.made import competition, write_pickle

from kpl import captures, landmarks, score, submission
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
    (tmp_path / "bytes.txt").write_bytes(bytes(range(128, 256)))
    (tmp_path / "wide.txt").write_text("00001/01", encoding="utf-16")
    for name, message in ("bytes.txt", "save it as UTF-8"), ("wide.txt", "save it as UTF-8"), ("none.txt", "missing"):
        with pytest.raises(BadInput, match=message):
            submission.read(tmp_path / name)


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff\n"])
def test_no_sample_is_said_as_that(tmp_path, content):
    (tmp_path / "empty.txt").write_text(content, encoding="utf-8")
    for expected in (NAMES, []):
        with pytest.raises(BadInput, match="empty.txt is empty: it holds no sample"):
            submission.check(tmp_path / "empty.txt", expected)
    with pytest.raises(BadInput, match="new.txt: there is no sample to write"):
        submission.write(tmp_path / "new.txt", [], np.zeros((0, landmarks.COUNT, 3)))
    assert not (tmp_path / "new.txt").exists()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_windows_editors_save_is_read(path, points, newline):
    text = "\ufeff" + path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8", newline=newline)
    np.testing.assert_array_equal(submission.check(path, NAMES), np.round(points, 6))


def test_unfit_predictions_are_not_written(tmp_path, points):
    broken = points.copy()
    broken[1, 4, 2] = np.nan
    for names, shapes, message in (
        (NAMES, broken, "00001/other_2"),
        (NAMES[:2], points, "shape"),
        ([NAMES[0]] * 3, points, "more than once"),
        (["a b", "c", "d"], points, "one word"),
        (["a\u2028b", "c", "d"], points, "one word"),
        (["\ufeffa", "c", "d"], points, "one word"),
        (["", "c", "d"], points, "one word"),
    ):
        with pytest.raises(BadInput, match=message):
            submission.write(tmp_path / "out.txt", names, shapes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", ["0.1 0.2 0.3", "-12.345678 1e-3 .5", "0.123456  0.2 0.3", "+0.123456 0.2 0.3", "1.0000001 0 0"]
)
def test_numbers_written_in_other_ways_are_read_as_python_reads_them(path, points, text):
    edit(path, 5, text)
    read = submission.read(path)[1]
    np.testing.assert_array_equal(read[0, 3], [float(word) for word in text.split()])
    np.testing.assert_array_equal(read[1:], np.round(points, 6)[1:])


def about_x(degrees):
    """The rotation matrix; 180 turns y down and z backwards."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


@pytest.mark.parametrize(
    "change, words",
    [
        (np.diag([-1, 1, 1]), "mirrored"),
        (np.diag([1, -1, 1]), "mirrored"),
        (np.diag([1, 1, -1]), "mirrored"),
        (about_x(180), "turned by more than 30 degrees: x must point to the right, y up"),
        (about_x(40)[::-1, ::-1], "turned by more than 30 degrees"),
        (np.diag([-1, -1, 1]), "turned by more than 30 degrees"),
        (100 * np.eye(3), "over 1.4 times as large or as small as usual"),
        (0.5 * np.eye(3), "over 1.4 times as large or as small as usual"),
    ],
)
def test_what_is_hardly_meant_is_said_once_with_a_count(points, change, words):
    (said,) = submission.oddities(NAMES, points @ change)
    assert said.startswith(f"3 of 3 samples are {words}") and said.endswith("(00001/01, for one).")
    mixed = points.copy()
    mixed[1] = points[1] @ change
    (said,) = submission.oddities(NAMES, mixed)
    assert said.startswith(f"1 of 3 samples are {words}") and said.endswith("(00001/other_2, for one).")


def test_what_may_well_be_meant_is_not_odd(points):
    assert submission.oddities(NAMES, points) == []
    assert submission.oddities(NAMES, 1.2 * points @ about_x(12) + 5) == []
    assert submission.oddities(NAMES[:1], points[:1]) == []
    (said,) = submission.oddities(NAMES, points[[0, 0, 0]])
    assert said.startswith("3 of 3 samples are of one and the same shape")
    assert len(submission.oddities(NAMES, np.zeros_like(points))) == 2  # far too small, and all the same


@pytest.fixture
def samples(tmp_path):
    """112 test samples of 16 subjects whose names hold a '_', their names and truth, and the truth's folder."""
    names = [f"subject_{subject:02}/{expression:02}" for subject in range(16) for expression in range(7)]
    competition(tmp_path / "captures", *names)
    rng = np.random.default_rng(1)
    truth = landmarks.MEAN_SHAPE + rng.normal(0, 0.01, (len(names), landmarks.COUNT, 3))
    (tmp_path / "held_out").mkdir()
    write_pickle(tmp_path / "held_out" / "test.pkl", dict(zip(names, truth)))
    return names, truth


def checked(tmp_path, names, points, *options):
    submission.write(tmp_path / "file.txt", names, points)
    return submission.main(["check", str(tmp_path / "file.txt"), "--captures", str(tmp_path / "captures"), *options])


def test_the_check_command(samples, tmp_path, capsys):
    names, truth = samples
    assert checked(tmp_path, names[::-1], truth[::-1]) == 0
    assert capsys.readouterr().out.endswith("file.txt: 112 samples, complete and well-formed\n")
    assert checked(tmp_path, names[:1], truth[:1]) == 1
    assert "111 of 112 samples are missing" in capsys.readouterr().err
    assert checked(tmp_path, names, truth, "--split", "val") == 1
    assert "no sample of the split 'val': --split may be test" in capsys.readouterr().err


@pytest.mark.parametrize("change", [np.diag([-1, 1, 1]), about_x(180), 3 * np.eye(3)])
def test_the_check_command_fails_on_what_is_odd_unless_that_is_allowed(samples, tmp_path, capsys, change):
    names, truth = samples
    assert checked(tmp_path, names, truth @ change) == 1
    warning, last = capsys.readouterr().out.splitlines()
    assert warning.startswith("warning: 112 of 112 samples are ") and last.endswith("complete and odd")
    assert checked(tmp_path, names, truth @ change, "--allow-odd") == 0


def test_the_score_command(samples, tmp_path, capsys):
    names, truth = samples
    by_subject = np.repeat(np.random.default_rng(2).uniform(0.002, 0.02, 16), 7)[:, None, None]
    good, poor, one = (str(tmp_path / name) for name in ("good.txt", "poor.txt", "one.txt"))
    submission.write(good, names, truth + by_subject * np.random.default_rng(3).normal(size=truth.shape))
    submission.write(poor, names[::-1], np.broadcast_to(landmarks.MEAN_SHAPE * [-1, 1, 1], truth.shape))
    submission.write(one, names[:1], truth[:1])
    answers = str(tmp_path / "held_out")
    assert submission.main(["score", good, "--truth", answers, "--against", poor]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = score.nme(submission.check(good, names), truth).mean()
    assert f"NME {found:.4f} (" in lines[0] and lines[0].endswith("112 samples") and "ratio 0.0" in lines[2]
    low, high = (float(word.strip("(),")) for word in lines[0].split("NME")[1].split()[1:4:2])
    assert low < found < high  # 16 subjects, not one called "subject"
    assert submission.main(["score", one, "--truth", answers]) == 1
    assert "111 of 112 samples are missing" in capsys.readouterr().err
    assert submission.main(["score", good, "--truth", str(tmp_path / "captures")]) == 1
    assert "holds no truth" in capsys.readouterr().err


def test_a_name_with_a_space_is_scored_from_folder_to_file(tmp_path, points, capsys):
    names = ["anna b/01", "anna b/02", "c/01"]
    competition(tmp_path / "captures", *names)
    write_pickle(tmp_path / "truth.pkl", dict(zip(names, points)))
    found = captures.find(tmp_path / "captures")["sample"].tolist()
    assert checked(tmp_path, found, points) == 0
    assert submission.main(["score", str(tmp_path / "file.txt"), "--truth", str(tmp_path / "truth.pkl")]) == 0
    assert "NME 0.0000" in capsys.readouterr().out
