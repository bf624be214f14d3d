"""The second layers side by side: cross-fitted on the same folds, compared, one of them chosen."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from kpl import compare
from kpl.errors import BadInput
from kpl.files import read_npz, write_npz
from kpl.neural_layer import neural
from kpl.oof import OofStore
from kpl.second_layers import gradient_boosting, mean, ridge, weighted

SecondLayer = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]

LAYERS: dict[str, SecondLayer] = {
    "mean": mean,
    "weighted": weighted,
    "ridge": ridge,
    "lightgbm": gradient_boosting,
    "neural": neural,
}


@dataclass(frozen=True)
class StackStore:
    """The answers of L second layers: N samples out of fold, and M test samples."""

    names: np.ndarray  # (L,)
    samples: np.ndarray  # (N,)
    points: np.ndarray  # (L, N, 106, 3)
    test_samples: np.ndarray  # (M,)
    test_points: np.ndarray  # (L, M, 106, 3)

    def save(self, file: str | Path) -> None:
        """Write one npz file, atomically."""
        write_npz(file, **asdict(self))


@dataclass(frozen=True)
class Choice:
    """The second layer that is submitted, and one sentence that says why."""

    name: str
    reason: str


def load(file: str | Path) -> StackStore:
    """Read a saved store. Raises BadInput if it is missing or damaged."""
    return StackStore(**read_npz(file, tuple(field.name for field in fields(StackStore))))


def cross_fit(layer: SecondLayer, store: OofStore, seed: int) -> np.ndarray:
    """Each fold's samples predicted by a layer that was fitted on the other folds: (N, 106, 3).

    The networks' folds are used again, so that neither the layer nor its inputs' networks have seen the subject.
    """
    points = np.empty_like(store.truth)
    for fold in np.unique(store.folds):
        held_out = store.folds == fold
        fit = ~held_out
        if len(set(store.subjects[fit])) < 2:
            raise BadInput(
                f"outside of fold {fold} there are fewer than two subjects: add captures, or use other folds."
            )
        points[held_out] = layer(
            store.points[:, fit], store.truth[fit], store.subjects[fit], store.points[:, held_out], seed
        )
    return points


def refit(layer: SecondLayer, store: OofStore, new_points: np.ndarray, seed: int) -> np.ndarray:
    """New predictions (K, M, 106, 3) through a layer fitted on all out-of-fold predictions: (M, 106, 3)."""
    if not new_points.shape[1]:
        return np.empty(new_points.shape[1:])
    return layer(store.points, store.truth, store.subjects, new_points, seed)


def choose(errors: dict[str, np.ndarray], subjects: np.ndarray, seed: int = 0) -> Choice:
    """The layer with the lowest mean of its out-of-fold `errors` (N,) among those that surely beat the plain mean.

    Surely: the 95 % interval of the paired difference, over subjects, lies below zero. If none does, it is the mean.
    """
    plain = errors["mean"]
    gains = {
        name: compare.paired(values, plain, subjects, seed=seed) for name, values in errors.items() if name != "mean"
    }
    sure = [name for name, gain in gains.items() if gain.better]
    if not sure:
        return Choice("mean", "No second layer beats the plain mean of the networks with certainty, so the mean it is.")
    best = min(sure, key=lambda name: errors[name].mean())
    gain = gains[best]
    return Choice(
        best,
        f"{best} has the lowest out-of-fold error of those that surely beat the plain mean: "
        f"{gain.ratio:.3f} of its error (95 % interval {gain.ratio_low:.3f} to {gain.ratio_high:.3f}).",
    )
