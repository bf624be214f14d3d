"""Second layers on trial: each subject answered by a layer that was fitted on others.

Who may see what. A sample's inputs come from the networks of its own fold, which have not seen its subject; the layer
that answers is fitted on other subjects only. Those are drawn from *all* folds (`OofStore.groups`), for two reasons that
were measured. First, so is the layer that is used in the end: it knows every fold's networks, and a layer fitted on
folds 1 and 2 must guess how the networks of fold 3 err. Scored that way, ridge and trees looked worse than an average
that they beat on the test subjects. Second, test samples pass the layer once for each fold's networks and the answers
are averaged (`refit`): the layer meets single networks there as it did in fitting, not their smoother mean.

What is left is second-hand: other folds' networks, whose answers a layer is fitted on, have seen the scored subject. By
that way no truth of the subject comes with its inputs; with labels that are noise no layer beats the mean shape, which
tests/stack/test_layers.py shows with learners that know their training labels by heart.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from kpl.files import read_npz, write_npz
from kpl.stack.layers import SecondLayer
from kpl.stack.oof import OofStore


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
        write_npz(file, **vars(self))


def load_stack(file: str | Path) -> StackStore:
    """Read a saved store. Raises BadInput if it is missing or damaged."""
    return StackStore(**read_npz(file, tuple(field.name for field in fields(StackStore))))


def cross_fit(layer: SecondLayer, store: OofStore, seed: int) -> np.ndarray:
    """Each subject's samples predicted by a layer that was fitted on subjects of other groups: (N, 106, 3)."""
    points = np.empty_like(store.truth)
    for group in np.unique(store.groups):
        own, fit = store.groups == group, store.groups != group
        points[own] = layer(store.points[:, fit], store.truth[fit], store.subjects[fit], store.points[:, own], seed)
    return points


def refit(layer: SecondLayer, store: OofStore, new_points: np.ndarray, seed: int) -> np.ndarray:
    """New predictions by F folds' networks, (K, F, M, 106, 3), through a layer fitted on all out-of-fold predictions.

    Each fold's go through on their own, and the answers are averaged: (M, 106, 3).
    """
    networks, folds, samples, *shape = new_points.shape
    if not samples:
        return np.empty((0, *shape))
    one_by_one = new_points.reshape(networks, folds * samples, *shape)
    answers = layer(store.points, store.truth, store.subjects, one_by_one, seed)
    return answers.reshape(folds, samples, *shape).mean(axis=0)
