import numpy as np
import pytest

from kpl.errors import BadInput
from kpl.train import folds

SUBJECTS = np.repeat([f"{i:05d}" for i in range(12)], 7)


def test_a_subject_stands_in_one_fold_and_folds_are_about_equal(tmp_path):
    fold = folds.load_or_make(tmp_path / "folds.csv", SUBJECTS, 5, seed=0)
    assert all(len(set(fold[SUBJECTS == subject])) == 1 for subject in SUBJECTS)
    assert set(fold) == set(range(5)) and np.bincount(fold).max() <= 21


def test_folds_are_made_once_and_a_small_run_reads_the_same_ones(tmp_path):
    file = tmp_path / "folds.csv"
    fold = folds.load_or_make(file, SUBJECTS, 5, seed=0)
    before = file.read_bytes()
    part = np.isin(SUBJECTS, ["00003", "00007"])
    assert np.array_equal(folds.load_or_make(file, SUBJECTS[part], 5, seed=1), fold[part])
    assert file.read_bytes() == before


def test_order_of_the_samples_does_not_matter(tmp_path):
    shuffled = np.random.default_rng(0).permutation(len(SUBJECTS))
    one = folds.load_or_make(tmp_path / "a.csv", SUBJECTS, 3, seed=4)
    other = folds.load_or_make(tmp_path / "b.csv", SUBJECTS[shuffled], 3, seed=4)
    assert np.array_equal(one[shuffled], other)


@pytest.mark.parametrize(
    "subjects, count, words",
    [
        (SUBJECTS, 4, "holds 5 folds, not 4"),
        (np.array(["99999"]), 5, "does not know subject 99999"),
    ],
)
def test_other_folds_or_subjects_are_refused(tmp_path, subjects, count, words):
    folds.load_or_make(tmp_path / "folds.csv", SUBJECTS, 5, seed=0)
    with pytest.raises(BadInput, match=words):
        folds.load_or_make(tmp_path / "folds.csv", subjects, count, seed=0)


def test_too_few_subjects_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(BadInput, match="12 subjects with truth cannot make 13 folds"):
        folds.load_or_make(tmp_path / "folds.csv", SUBJECTS, 13, seed=0)
    assert not (tmp_path / "folds.csv").exists()


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "folds.csv").write_text("subject,fold\n00001,0\n00001,1\n")
    with pytest.raises(BadInput, match="folds.csv"):
        folds.load_or_make(tmp_path / "folds.csv", np.array(["00001"]), 2, seed=0)
