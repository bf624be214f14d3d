"""How sure a score is: bootstrap intervals over subjects.

A subject's samples resemble each other (half of the variance lies between subjects), so subjects are drawn with replacement,
not samples (the cluster bootstrap, Davison & Hinkley 1997, section 3.8), and two methods are compared on the same draws.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from kpl import score
from kpl.errors import BadInput

LEVEL = 95.0  # percent
ENOUGH = 5  # subjects without which no difference is sure
RESAMPLES = 2000


class Interval(NamedTuple):
    """A mean over samples and the 95 % bootstrap interval around it; or those of C columns, (C,) each."""

    mean: float | np.ndarray
    low: float | np.ndarray
    high: float | np.ndarray


class Paired(NamedTuple):
    """What changes from b to a: mean(a) - mean(b) and mean(a) / mean(b), each with its 95 % interval."""

    difference: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    subjects: int

    @property
    def better(self) -> bool:
        """a is lower than b, and the whole interval says so, of subjects enough to say anything."""
        return self.high < 0 and self.subjects >= ENOUGH


def interval(values: np.ndarray, subjects: np.ndarray, seed: int = 0) -> Interval:
    """Mean of `values` (N,) and its interval over the subjects (N,) they belong to; of (N, C) each column's, on the same draws.

    A drawn subject brings all of its samples, so one with many samples weighs more, as in the mean itself. With a single
    subject the interval is that subject's mean. Raises BadInput on NaN, no value or unequal lengths.
    """
    values = np.asarray(values, dtype=np.float64)
    sums, counts, _ = _resample(values.reshape(len(values), *values.shape[1:] or (1,)), subjects, seed)
    low, high = _percentiles(sums / counts).reshape(2, *values.shape[1:])
    return Interval(values.mean(axis=0), low, high)


def paired(values_a: np.ndarray, values_b: np.ndarray, subjects: np.ndarray, seed: int = 0) -> Paired:
    """Compare the errors (N,) of two methods on the same samples; negative differences mean that a is better."""
    mean_a, mean_b = np.mean(values_a), np.mean(values_b)
    sums, counts, count = _resample(np.stack([values_a, values_b], axis=1), subjects, seed)
    difference, ratio = _percentiles((sums[:, 0] - sums[:, 1]) / counts[:, 0]), _percentiles(sums[:, 0] / sums[:, 1])
    return Paired(*map(float, (mean_a - mean_b, *difference, mean_a / mean_b, *ratio)), count)


def _resample(values: np.ndarray, subjects: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The values' (N, C) sums in each resample (R, C), how many samples each drew (R, 1), and the number of subjects."""
    names, code = np.unique(subjects, return_inverse=True)
    if not 0 < len(values) == len(code) or not np.isfinite(values).all():
        raise BadInput(f"a bootstrap needs one finite value a sample: got {len(values)} for {len(code)} samples.")
    own = np.eye(len(names))[code]  # (N, S)
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    return draws @ (own.T @ values), draws @ own.sum(axis=0)[:, None], len(names)


def _percentiles(drawn: np.ndarray) -> np.ndarray:
    return np.percentile(drawn, [(100 - LEVEL) / 2, (100 + LEVEL) / 2], axis=0)


def row(name: str, split: str, points: np.ndarray, truth: np.ndarray, subjects: np.ndarray) -> dict[str, str | float]:
    """A line of a results table: the scores of predictions (N, 106, 3), nme_low and nme_high from `interval`."""
    errors = score.nme(points, truth)
    mean, low, high = interval(errors, subjects)
    inner, auc, failures = score.inner_nme(points, truth).mean(), score.auc(errors), score.failure_rate(errors)
    scores = {"nme": mean, "nme_low": low, "nme_high": high, "inner_nme": float(inner), "auc": auc, "failure_rate": failures}
    return {"name": name, "split": split} | scores


def by_group(errors: np.ndarray, groups: np.ndarray, subjects: np.ndarray) -> pd.DataFrame:
    """One line a group, such as an expression, in the groups' order: its mean error with its interval. All (N,)."""
    parts = {group: (errors[groups == group], subjects[groups == group]) for group in np.unique(groups)}
    rows = [(group, len(own), len(set(whose)), *interval(own, whose)) for group, (own, whose) in parts.items()]
    return pd.DataFrame(rows, columns=["group", "samples", "subjects", "error", "low", "high"])
