"""The results table: one row for each method and split."""

from pathlib import Path

import numpy as np
import pandas as pd

from kpl import compare, score
from kpl.files import atomic
from kpl.oof import OofStore


def row(name: str, split: str, points: np.ndarray, truth: np.ndarray, subjects: np.ndarray) -> dict[str, str | float]:
    """The scores of predictions (N, 106, 3); nme_low and nme_high bound 95 % of a bootstrap over the subjects (N,)."""
    errors = score.nme(points, truth)
    nme = compare.interval(errors, subjects)
    return {
        "name": name,
        "split": split,
        "nme": nme.mean,
        "nme_low": nme.low,
        "nme_high": nme.high,
        "inner_nme": float(score.inner_nme(points, truth).mean()),
        "auc": score.auc(errors),
        "failure_rate": score.failure_rate(errors),
    }


def mean_shape(store: OofStore) -> np.ndarray:
    """For each sample the mean truth of the other folds: (N, 106, 3). What one scores by not looking at a picture."""
    points = np.empty_like(store.truth)
    for fold in np.unique(store.folds):
        points[store.folds == fold] = store.truth[store.folds != fold].mean(axis=0)
    return points


def write(file: str | Path, table: pd.DataFrame) -> None:
    """Write the table as CSV, atomically."""
    with atomic(file) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f")
