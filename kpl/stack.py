"""The second layers side by side: cross-fitted on the same subjects, compared, one of them chosen.

Who may see what. A sample's inputs come from the networks of its own fold, which have not seen its subject; the layer
that answers is fitted on other subjects only. Those are drawn from *all* folds (`subject_groups`), for two reasons that
were measured. First, so is the layer that is used in the end: it knows every fold's networks, and a layer fitted on
folds 1 and 2 must guess how the networks of fold 3 err. Scored that way, ridge and trees looked worse than an average
that they beat on the test subjects. Second, test samples pass the layer once for each fold's networks and the answers
are averaged (`refit`): the layer meets single networks there as it did in fitting, not their smoother mean.

What is left is second-hand: other folds' networks, whose answers a layer is fitted on, have seen the scored subject. By
that way no truth of the subject comes with its inputs; with labels that are noise no layer beats the mean shape, which
tests/test_stack.py shows with learners that know their training labels by heart.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from kpl import compare
from kpl.errors import BadInput
from kpl.files import read_npz, write_npz
from kpl.oof import OofStore
from kpl.stacking.neural_layer import neural
from kpl.stacking.second_layers import gradient_boosting, greedy, kernel, mean, regional, ridge, weighted

SecondLayer = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]

LAYERS: dict[str, SecondLayer] = {
    "mean": mean,
    "weighted": weighted,
    "regional": regional,
    "greedy": greedy,
    "ridge": ridge,
    "lightgbm": gradient_boosting,
    "kernel": kernel,
    "neural": neural,
}
BLENDED = ("ridge", "lightgbm", "kernel")  # whose mean is one more layer, "blend"
NAMES = (*LAYERS, "blend")
YARDSTICKS = ("mean", "ridge")  # what any other layer must surely beat to be chosen
GROUPS = 5


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


def blended(answers: dict[str, np.ndarray]) -> np.ndarray:
    """The mean of what the layers of BLENDED answer: they err differently. answers: {layer: (N, 106, 3)}."""
    return np.mean([answers[name] for name in BLENDED], axis=0)


def layer_called(name: str) -> SecondLayer:
    """One of NAMES. Raises KeyError for another name."""
    return LAYERS[name] if name != "blend" else lambda *data: blended({part: LAYERS[part](*data) for part in BLENDED})


def subject_groups(store: OofStore) -> np.ndarray:
    """Which of GROUPS groups each sample is in (N,): a subject in one, and each group with its share of every fold."""
    rng = np.random.default_rng(0)
    by_fold = [rng.permutation(np.unique(store.subjects[store.folds == fold])) for fold in np.unique(store.folds)]
    group = {subject: place % GROUPS for place, subject in enumerate(np.concatenate(by_fold))}
    return np.array([group[subject] for subject in store.subjects])


def cross_fit(layer: SecondLayer, store: OofStore, seed: int) -> np.ndarray:
    """Each subject's samples predicted by a layer that was fitted on subjects of other groups: (N, 106, 3)."""
    points, groups = np.empty_like(store.truth), subject_groups(store)
    for group in np.unique(groups):
        held_out = groups == group
        fit = ~held_out
        if len(set(store.subjects[fit])) < 2:
            raise BadInput(f"{len(set(store.subjects))} subjects are too few for second layers: add captures.")
        points[held_out] = layer(
            store.points[:, fit], store.truth[fit], store.subjects[fit], store.points[:, held_out], seed
        )
    return points


def refit(layer: SecondLayer, store: OofStore, new_points: np.ndarray, seed: int) -> np.ndarray:
    """New predictions by F folds' networks, (K, F, M, 106, 3), through a layer fitted on all out-of-fold predictions.

    Each fold's go through on their own, and the answers are averaged: (M, 106, 3).
    """
    networks, folds, samples = new_points.shape[:3]
    if not samples:
        return np.empty(new_points.shape[2:])
    one_by_one = new_points.reshape(networks, folds * samples, *new_points.shape[3:])
    answers = layer(store.points, store.truth, store.subjects, one_by_one, seed)
    return answers.reshape(folds, samples, *answers.shape[1:]).mean(axis=0)


def choose(errors: dict[str, np.ndarray], subjects: np.ndarray, seed: int = 0) -> Choice:
    """The layer with the lowest mean of its out-of-fold `errors` (N,) among those that surely beat the YARDSTICKS.

    Surely: the 95 % interval of the paired difference, over subjects, lies below zero. Ridge itself must beat the mean;
    the mean is what is left if nobody does.
    """

    def beats(name: str, other: str) -> bool:
        return compare.paired(errors[name], errors[other], subjects, seed=seed).better

    sure = [
        name
        for name in errors
        if all(beats(name, other) for other in YARDSTICKS if other in errors and other != name) and name != "mean"
    ]
    best = min(["mean", *sure], key=lambda name: errors[name].mean())
    if best == "mean":
        return Choice("mean", "No second layer beats the plain mean of the networks with certainty, so the mean it is.")
    gain = compare.paired(errors[best], errors["mean"], subjects, seed=seed)
    rivals = "the plain mean; none surely beats it" if best == "ridge" else "the plain mean and ridge"
    return Choice(
        best,
        f"{best} has the lowest out-of-fold error of the layers that surely beat {rivals}: "
        f"{gain.ratio:.3f} of the mean's error (95 % interval {gain.ratio_low:.3f} to {gain.ratio_high:.3f}).",
    )


def nested_choice(errors: dict[str, np.ndarray], groups: np.ndarray, subjects: np.ndarray, seed: int = 0) -> np.ndarray:
    """For each sample (N,) the name of the layer that is chosen when its own group has no say.

    The chosen layer's own out-of-fold error is the lowest of several and so a little too good; the error of these
    answers is not.
    """
    names = np.empty(len(groups), dtype=object)
    for group in np.unique(groups):
        others = groups != group
        chosen = choose({name: values[others] for name, values in errors.items()}, subjects[others], seed)
        names[~others] = chosen.name
    return names
