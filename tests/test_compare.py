import numpy as np
import pytest

from kpl import compare
from kpl.errors import BadInput


def test_two_subjects_by_hand():
    # Subject a has the values 1 and 3 (mean 2), b has the single value 8. A resample draws aa, ab, ba or bb, whose
    # means over samples are 2, (1 + 3 + 8) / 3 = 4, 4 and 8; a quarter of the draws stands at each end.
    result = compare.interval(np.array([1.0, 8.0, 3.0]), np.array(["a", "b", "a"]))
    assert result == compare.Interval(mean=4.0, low=2.0, high=8.0)


def test_subjects_not_samples_are_drawn():
    rng = np.random.default_rng(1)
    subjects = np.repeat(np.arange(20), 50)
    values = np.repeat(rng.normal(size=20), 50)  # all of the variance lies between subjects
    by_subject = compare.interval(values, subjects)
    by_sample = compare.interval(values, np.arange(len(values)))
    assert by_subject.high - by_subject.low > 4 * (by_sample.high - by_sample.low)


def test_interval_agrees_with_the_normal_approximation():
    values = np.random.default_rng(2).normal(5, 2, size=400)
    result = compare.interval(values, np.arange(400))
    half = 1.96 * values.std() / 20
    assert result.low == pytest.approx(values.mean() - half, abs=0.02)
    assert result.high == pytest.approx(values.mean() + half, abs=0.02)


def test_paired_sees_a_small_but_steady_gain():
    rng = np.random.default_rng(3)
    subjects = np.repeat(np.arange(30), 4)
    b = np.repeat(rng.uniform(1, 9, 30), 4)
    result = compare.paired(0.98 * b, b, subjects)
    assert result.better and result.high < 0
    assert result.ratio == pytest.approx(0.98) and result.ratio_low == pytest.approx(0.98)
    a, b = compare.interval(0.98 * b, subjects), compare.interval(b, subjects)
    assert a.high > b.low  # the unpaired intervals overlap


def test_paired_noise_is_no_gain():
    rng = np.random.default_rng(4)
    assert not compare.paired(rng.normal(5, 1, 200), rng.normal(5, 1, 200), np.arange(200) // 4).better


def test_the_same_seed_gives_the_same_interval():
    values, subjects = np.random.default_rng(5).normal(size=60), np.arange(60) // 3
    assert compare.interval(values, subjects, seed=7) == compare.interval(values, subjects, seed=7)
    assert compare.interval(values, subjects, seed=7) != compare.interval(values, subjects, seed=8)


@pytest.mark.parametrize("values, subjects", [([1.0, np.nan], [0, 1]), ([], []), ([1.0, 2.0], [0, 1, 2])])
def test_undefined_input_is_refused(values, subjects):
    with pytest.raises(BadInput, match="finite value"):
        compare.interval(np.array(values), np.array(subjects))
