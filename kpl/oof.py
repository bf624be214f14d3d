"""The out-of-fold store: what each network says of samples that it was not trained on, joined by sample name."""

import logging
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from kpl import folds as fold_table
from kpl import landmarks
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import read_npz, write_npz

log = logging.getLogger("kpl")


@dataclass(frozen=True)
class OofStore:
    """K networks' canonical shapes: of N samples with truth, out of fold, and of M without, mean over folds."""

    fingerprint: str  # of the faces it was gathered from
    networks: np.ndarray  # (K,) names
    samples: np.ndarray  # (N,) names
    subjects: np.ndarray  # (N,)
    folds: np.ndarray  # (N,) the fold in which the sample was held out
    truth: np.ndarray  # (N, 106, 3)
    points: np.ndarray  # (K, N, 106, 3)
    test_samples: np.ndarray  # (M,)
    test_subjects: np.ndarray  # (M,)
    test_points: np.ndarray  # (K, M, 106, 3)

    def save(self, file: str | Path) -> None:
        """Write one npz file, atomically."""
        write_npz(file, **asdict(self))


def load(file: str | Path) -> OofStore:
    """Read a saved store. Raises BadInput if it is missing or damaged."""
    arrays = read_npz(file, tuple(field.name for field in fields(OofStore)))
    return OofStore(**arrays | {"fingerprint": str(arrays["fingerprint"])})


def gather(runs: Path, faces: FaceStore) -> tuple[OofStore, list[str]]:
    """Join the finished runs below `runs` (<network>/fold<k>/predictions.npz with its done.json beside it) by name.

    Every sample of `faces` with truth must come exactly once per network, in the fold that folds.csv gives to its
    subject; every sample without truth once per fold, of which the mean is taken. Returns the store and one sentence
    for each network left out because some of its folds are not trained. Raises BadInput naming run, fold and sample
    where predictions and faces disagree, and if no network is left.
    """
    table = faces.table.reset_index(drop=True)
    known = faces.known
    if not known.any():
        raise BadInput(f"{faces.folder} holds no sample with truth: gather the runs on the faces they were trained on.")
    labelled = table[known].assign(fold=_fold_of_each(runs / "folds.csv", table.loc[known, "subject"]))
    unlabelled = table[~known]

    names, points, test_points, left_out = [], [], [], []
    for folder in sorted(path for path in runs.iterdir() if path.is_dir()):
        untrained = [
            str(fold) for fold in np.unique(labelled["fold"]) if not (folder / f"fold{fold}" / "done.json").exists()
        ]
        if untrained:
            left_out.append(f"{folder.name} is left out: fold {', '.join(untrained)} is not trained.")
            log.warning(left_out[-1])
            continue
        held_out, test = _network(folder, labelled, list(unlabelled["sample"]))
        names.append(folder.name)
        points.append(held_out)
        test_points.append(test)
    if not names:
        raise BadInput(f"{runs} holds no network with all of its folds: train the missing ones with 02_train_fold.")
    return OofStore(
        fingerprint=faces.fingerprint,
        networks=np.array(names, dtype=str),
        samples=labelled["sample"].to_numpy(dtype=str),
        subjects=labelled["subject"].to_numpy(dtype=str),
        folds=labelled["fold"].to_numpy(),
        truth=np.asarray(faces.points3d[known], dtype=np.float64),
        points=np.stack(points),
        test_samples=unlabelled["sample"].to_numpy(dtype=str),
        test_subjects=unlabelled["subject"].to_numpy(dtype=str),
        test_points=np.stack(test_points),
    ), left_out


def _fold_of_each(file: Path, subjects: pd.Series) -> np.ndarray:
    fold = subjects.map(fold_table.read(file).set_index("subject")["fold"])
    if fold.isna().any():
        raise BadInput(
            f"{file} gives no fold to subject {subjects[fold.isna()].iloc[0]}: its captures came after the "
            f"training; train into another runs folder."
        )
    return fold.to_numpy(dtype=int)


def _network(folder: Path, labelled: pd.DataFrame, unlabelled: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """One network's held-out shapes (N, 106, 3) in the table's order, and its test shapes, mean over folds."""
    held_out = np.full((len(labelled), landmarks.COUNT, 3), np.nan, dtype=np.float32)
    fold_of = dict(zip(labelled["sample"], labelled["fold"]))
    tests = []
    for fold in np.unique(labelled["fold"]):
        where = f"run {folder.name}, fold {fold}"
        file = read_npz(folder / f"fold{fold}" / "predictions.npz", ("samples", "split", "points"))
        samples, split, points = file["samples"].astype(str), file["split"].astype(str), file["points"]
        if points.shape != (len(samples), landmarks.COUNT, 3) or len(split) != len(samples):
            raise BadInput(
                f"{where}: {len(samples)} samples have points of shape {points.shape}: train the fold again."
            )
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
    return held_out, np.mean(tests, axis=0, dtype=np.float64).astype(np.float32)


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
