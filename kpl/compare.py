"""How sure a score is: bootstrap intervals over subjects.

A subject's samples resemble each other (half of the variance lies between subjects), so subjects are drawn with
replacement, not samples (the cluster bootstrap, Davison & Hinkley 1997, section 3.8), and two methods are compared
on the same draws.
"""

from typing import NamedTuple

import numpy as np

from kpl.errors import BadInput

LEVEL = 95.0  # percent


class Interval(NamedTuple):
    """A mean over samples and the 95 % bootstrap interval around it."""

    mean: float
    low: float
    high: float


class Paired(NamedTuple):
    """What changes from b to a: mean(a) - mean(b) and mean(a) / mean(b), each with its 95 % interval."""

    difference: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float

    @property
    def better(self) -> bool:
        """a is lower than b, and the whole interval says so."""
        return self.high < 0


def interval(values: np.ndarray, subjects: np.ndarray, resamples: int = 2000, seed: int = 0) -> Interval:
    """Mean of `values` (N,) and its interval over the subjects (N,) they belong to.

    A drawn subject brings all of its samples, so one with many samples weighs more, as in the mean itself.
    With a single subject the interval is that subject's mean. Raises BadInput on NaN, no value or unequal lengths.
    """
    sums, counts, draws = _resample([values], subjects, resamples, seed)
    means = (draws @ sums[0]) / (draws @ counts)
    return Interval(float(np.mean(values)), *_percentiles(means))


def paired(
    values_a: np.ndarray, values_b: np.ndarray, subjects: np.ndarray, resamples: int = 2000, seed: int = 0
) -> Paired:
    """Compare the errors (N,) of two methods on the same samples; negative differences mean that a is better."""
    (sum_a, sum_b), counts, draws = _resample([values_a, values_b], subjects, resamples, seed)
    mean_a, mean_b = np.mean(values_a), np.mean(values_b)
    drawn_a, drawn_b, drawn_counts = draws @ sum_a, draws @ sum_b, draws @ counts
    return Paired(
        float(mean_a - mean_b),
        *_percentiles((drawn_a - drawn_b) / drawn_counts),
        float(mean_a / mean_b),
        *_percentiles(drawn_a / drawn_b),
    )


def intervals_of_columns(
    values: np.ndarray, subjects: np.ndarray, resamples: int = 2000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % intervals of the means of many columns (N, C) at once, on the same draws: low (C,) and high (C,)."""
    sums, counts, draws = _resample(list(np.asarray(values).T), subjects, resamples, seed)
    means = (draws @ np.stack(sums, axis=1)) / (draws @ counts)[:, None]  # (R, C)
    low, high = np.percentile(means, [(100 - LEVEL) / 2, (100 + LEVEL) / 2], axis=0)
    return low, high


def _resample(
    columns: list[np.ndarray],
    subjects: np.ndarray,
    resamples: int,
    seed: int,
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Per subject (S,): each column's sum and the number of samples; and how often each resample drew it (R, S)."""
    columns = [np.asarray(column, dtype=np.float64) for column in columns]
    names, code = np.unique(np.asarray(subjects), return_inverse=True)
    for column in columns:
        if column.ndim != 1 or not len(column) or len(column) != len(code) or not np.isfinite(column).all():
            raise BadInput(
                f"A bootstrap needs one finite value for each of its samples: got values of shape "
                f"{column.shape} for {len(code)} subjects' entries."
            )
    sums = [np.bincount(code, weights=column) for column in columns]
    size = len(names)
    draws = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), size=resamples)
    return sums, np.bincount(code).astype(float), draws.astype(float)


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(low), float(high)
