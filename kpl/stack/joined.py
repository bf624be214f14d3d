"""A network's predictions, fold by fold, joined by sample name: each must come exactly once, in its own fold."""

from pathlib import Path

import numpy as np
import pandas as pd

from kpl.errors import BadInput
from kpl.files import read_npz
from kpl.landmarks import COUNT


def network(folder: Path, labelled: pd.DataFrame, unlabelled: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """One network's held-out shapes (N, 106, 3) in the table's order, and its folds' test shapes (F, M, 106, 3).

    labelled: columns sample and fold. Raises BadInput naming run, fold and sample for what is doubled, missing, not asked
    for, of another fold, or not finite.
    """
    held_out = np.empty((len(labelled), COUNT, 3), dtype=np.float32)
    tests = []
    for fold in np.unique(labelled["fold"]):
        where = f"run {folder.name}, fold {fold}"
        samples, split, points = _predictions(folder / f"fold{fold}" / "predictions.npz", where)
        own, test = split == "oof", split == "test"
        expected = (labelled["fold"] == fold).to_numpy()
        held_out[expected] = _join(list(labelled.loc[expected, "sample"]), samples[own], points[own], where)
        tests.append(_join(unlabelled, samples[test], points[test], where))
    return held_out, np.stack(tests).astype(np.float32)


def _predictions(file: Path, where: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = read_npz(file, ("samples", "split", "points"))
    samples, split, points = found["samples"].astype(str), found["split"].astype(str), found["points"]
    if points.shape != (len(samples), COUNT, 3) or len(split) != len(samples):
        raise BadInput(f"{where}: {len(samples)} samples have points of shape {points.shape}: train the fold again.")
    return samples, split, points


def _join(wanted: list[str], samples: np.ndarray, points: np.ndarray, where: str) -> np.ndarray:
    """The points (W, 106, 3) of the `wanted` samples, in that order; each must come exactly once, and no other."""
    found, asked = pd.Index(samples), pd.Index(wanted)
    faults = {
        "is predicted twice": found[found.duplicated()],
        "is not predicted: the faces have changed since": asked.difference(found),
        "does not belong there, by the faces at hand: they have changed since": found.difference(asked),
        "has a prediction that is not finite": found[~np.isfinite(points).all(axis=(1, 2))],
    }
    for fault, names in faults.items():
        if len(names):
            raise BadInput(f"{where}: sample {names[0]}, one of {len(names)}, {fault}; train the fold again.")
    return points[found.get_indexer(asked)]
