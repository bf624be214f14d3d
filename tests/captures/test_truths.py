import logging
import os

import numpy as np
import pytest
import scipy.io

from kpl import captures
from kpl.errors import BadInput

from .made import competition, release, scan, shape, write_pickle


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


def test_malformed_truth_is_said_and_left_out(tmp_path, caplog):
    broken = shape(0)
    broken[3, 1] = np.nan
    write_pickle(tmp_path / "gt.pkl", {"good": shape(1), "nan": broken, "short": np.zeros((105, 3)), "text": ""})
    write_pickle(tmp_path / "other.pkl", {"good": shape(2)})
    release(tmp_path, "scan", "empty", "index", "zero")
    scan(tmp_path / "scan/fusion/gt.mat", shape(2))
    for name in ("empty", "index", "zero"):
        (tmp_path / name / "fusion").mkdir()
    (tmp_path / "empty/fusion/gt.mat").write_bytes(b"damaged")
    for name, first in ("index", 1), ("zero", 0):
        struct = {"v": np.zeros((106 if name == "zero" else 5, 3)), "kpt_ind": first + np.arange(106)}
        scipy.io.savemat(tmp_path / name / "fusion/gt.mat", {"new_kpt_gt_obj": struct})
    with caplog.at_level(logging.WARNING, "kpl"):
        found = captures.truth(tmp_path)
    assert sorted(found) == ["good", "scan"]
    np.testing.assert_array_equal(found["good"], shape(1))
    said = {record.getMessage().split(":")[0]: record.getMessage() for record in caplog.records}
    assert sorted(said) == ["empty", "good", "index", "nan", "short", "text", "zero"]
    assert "NaN" in said["nan"] and "(105, 3)" in said["short"] and "gt.mat is no scan" in said["empty"]
    assert "other.pkl contradicts what was read before" in said["good"]


def test_other_pickles_are_left_alone_and_it_is_said(tmp_path, caplog):
    competition(tmp_path, "00001/01")
    write_pickle(tmp_path / "train_gt.pkl", {"00001/01": shape(0)})
    write_pickle(tmp_path / "notes.pkl", ["not", "ours"])
    write_pickle(tmp_path / "ages.pkl", {"00001/01": 42})
    with caplog.at_level(logging.WARNING, "kpl"):
        assert list(captures.truth(tmp_path)) == ["00001/01"]
    assert [record.getMessage().endswith("left alone.") for record in caplog.records] == [True, True]


def test_a_pickle_that_calls_something_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "crater"),)

    competition(tmp_path, "00001/01")
    write_pickle(tmp_path / "gt.pkl", {"00001/01": Bomb()})
    for read in (captures.truth, captures.find):
        with pytest.raises(BadInput, match=r"gt\.pkl .*asks for posix\.mkdir"):
            read(tmp_path)
    assert not (tmp_path / "crater").exists()
