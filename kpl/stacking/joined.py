"""A network's predictions, fold by fold, joined by sample name: each must come exactly once, in its own fold."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from kpl import landmarks
from kpl.errors import BadInput
from kpl.files import read_npz


def network(
    folder: Path,
    labelled: pd.DataFrame,
    unlabelled: list[str],
    change: Callable[[Path, np.ndarray], np.ndarray] = lambda fold_folder, points: points,
) -> tuple[np.ndarray, np.ndarray]:
    """One network's held-out shapes (N, 106, 3) in the table's order, and its folds' test shapes (F, M, 106, 3).

    labelled: columns sample and fold. change: what is made of a fold's predicted points before they are joined. Raises
    BadInput naming run, fold and sample for what is doubled, missing, not asked for, of another fold, or not finite.
    """
    held_out = np.full((len(labelled), landmarks.COUNT, 3), np.nan, dtype=np.float32)
    fold_of = dict(zip(labelled["sample"], labelled["fold"]))
    tests = []
    for fold in np.unique(labelled["fold"]):
        where = f"run {folder.name}, fold {fold}"
        fold_folder = folder / f"fold{fold}"
        file = read_npz(fold_folder / "predictions.npz", ("samples", "split", "points"))
        samples, split, points = file["samples"].astype(str), file["split"].astype(str), file["points"]
        if points.shape != (len(samples), landmarks.COUNT, 3) or len(split) != len(samples):
            raise BadInput(
                f"{where}: {len(samples)} samples have points of shape {points.shape}: train the fold again."
            )
        points = change(fold_folder, points)
        for sample in samples[split == "oof"]:
            if fold_of.get(sample, fold) != fold:
                raise BadInput(
                    f"{where}: sample {sample} belongs to fold {fold_of[sample]} in folds.csv: "
                    f"train the fold again with these folds."
                )
        expected = (labelled["fold"] == fold).to_numpy()
        held_out[expected] = _join(
            list(labelled.loc[expected, "sample"]), samples[split == "oof"], points[split == "oof"], where
        )
        tests.append(_join(unlabelled, samples[split == "test"], points[split == "test"], where))
    return held_out, np.stack(tests).astype(np.float32)


def _join(wanted: list[str], samples: np.ndarray, points: np.ndarray, where: str) -> np.ndarray:
    """The points (W, 106, 3) of the `wanted` samples, in that order; each must come exactly once, and no other."""
    place: dict[str, int] = {}
    for i, sample in enumerate(samples):
        if sample in place:
            raise BadInput(f"{where}: sample {sample} is predicted twice: train the fold again.")
        place[sample] = i
    missing = [sample for sample in wanted if sample not in place]
    if missing:
        raise BadInput(
            f"{where}: {len(missing)} samples are not predicted, the first is {missing[0]}: "
            f"the faces have changed since; train the fold again."
        )
    unknown = sorted(set(place) - set(wanted))
    if unknown:
        raise BadInput(
            f"{where}: sample {unknown[0]} does not belong there, by the faces at hand: "
            f"they have changed since; train the fold again."
        )
    joined = points[[place[sample] for sample in wanted]] if wanted else points[:0]
    broken = np.flatnonzero(~np.isfinite(joined).all(axis=(1, 2)))
    if len(broken):
        raise BadInput(f"{where}: the prediction of sample {wanted[broken[0]]} is not finite: train the fold again.")
    return joined
