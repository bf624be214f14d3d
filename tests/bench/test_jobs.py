"""The parts of `bench jobs`; the comparison itself is a measurement."""

import numpy as np
import pytest

from kpl import faces
from kpl.bench import jobs
from kpl.config import TrainFold, checked
from kpl.errors import BadInput


@pytest.mark.parametrize(
    "cores, expected",
    [
        (1, [(1, False)]),
        (2, [(2, False), (2, True), (1, False)]),
        (8, [(8, False), (8, True), (4, False), (1, False)]),
    ],
)
def test_every_contender_comes_once_and_one_job_is_among_them(cores, expected):
    assert jobs.contenders(cores) == expected


def test_the_notebook_s_defaults_make_a_config():
    assert checked(TrainFold, jobs.notebook_defaults()).folds >= 2


def test_a_store_is_cut_to_its_first_samples_with_truth(tiny_faces):
    store = faces.load(tiny_faces)
    part = jobs.first(store, 9)
    assert part.known.all() and len(part.table) == len(part.crops) == 9
    rows = np.flatnonzero(store.known)[:9]
    assert part.table["sample"].tolist() == store.table["sample"].iloc[rows].tolist()
    assert (part.crops[3] == store.crops[rows[3]]).all()


def test_a_store_that_is_not_there_is_said(tmp_path):
    with pytest.raises(BadInput, match="is no store of faces"):
        jobs.main(["--faces", str(tmp_path)])
