"""The out-of-fold store: what each network says of samples that it was not trained on, joined by sample name."""

import logging
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import read_json, read_npz, write_npz
from kpl.stack import joined
from kpl.train import folds as fold_table
from kpl.train import provenance

log = logging.getLogger("kpl")
GROUPS = 5  # of subjects: what is learned from the others answers one of them
FEWEST = 3  # subjects, so that two are left to learn from


@dataclass(frozen=True)
class OofStore:
    """K networks' canonical shapes: of N samples with truth, out of fold, and of M without, by each of F folds' networks."""

    fingerprint: str  # of the faces it was gathered from
    networks: np.ndarray  # (K,) names
    recipes: np.ndarray  # (K,) of the crops that they were trained on
    samples: np.ndarray  # (N,) names
    subjects: np.ndarray  # (N,)
    folds: np.ndarray  # (N,) the fold in which the sample was held out
    truth: np.ndarray  # (N, 106, 3)
    test_samples: np.ndarray  # (M,)
    test_subjects: np.ndarray  # (M,)
    points: np.ndarray  # (K, N, 106, 3) out of fold
    test_points: np.ndarray  # (K, F, M, 106, 3), folds in ascending order

    def save(self, file: str | Path) -> None:
        """Write one npz file, atomically."""
        write_npz(file, **{field.name: getattr(self, field.name) for field in fields(self)})

    @cached_property
    def groups(self) -> np.ndarray:
        """(N,) which of GROUPS groups each sample is in: a subject in one, each group with its share of every fold."""
        return groups_of(self.subjects, self.folds)


def groups_of(subjects: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """The group of each sample; subjects (N,), folds (N,)."""
    rng = np.random.default_rng(0)
    by_fold = [rng.permutation(np.unique(subjects[folds == fold])) for fold in np.unique(folds)]
    group = {subject: place % GROUPS for place, subject in enumerate(np.concatenate(by_fold))}
    return np.array([group[subject] for subject in subjects])


def load(file: str | Path) -> OofStore:
    """Read a saved store. Raises BadInput if it is missing or damaged."""
    arrays = read_npz(file, tuple(field.name for field in fields(OofStore)))
    return OofStore(**arrays | {"fingerprint": str(arrays["fingerprint"])})


def mean_shape(store: OofStore) -> np.ndarray:
    """For each sample the mean truth of the other folds: (N, 106, 3). What one scores by not looking at a picture."""
    points = np.empty_like(store.truth)
    for fold in np.unique(store.folds):
        points[store.folds == fold] = store.truth[store.folds != fold].mean(axis=0)
    return points


def gather(runs: Path, faces: FaceStore, networks: str = "") -> tuple[OofStore, list[str]]:
    """Join the finished runs below `runs` (<network>/fold<k>/predictions.npz with its done.json beside it) by name.

    networks: their names, separated by commas; "" is every one that is there. Every sample of `faces` with truth, also
    one excluded from training, must come exactly once per network, in the fold that folds.csv gives to its subject;
    every sample without truth once per fold. Networks may differ in all but truth and folds (crops of another recipe
    are welcome); a network's own folds may not differ at all. Returns the store and one sentence for each network left
    out because some of its folds are not trained. Raises BadInput naming run, fold and sample where predictions and
    faces disagree, for a network that was asked for and is not there, and if too few subjects are.
    """
    table = faces.table.reset_index(drop=True)
    labelled, unlabelled = table[faces.has_truth], table[~faces.has_truth]
    subjects = labelled["subject"].to_numpy(dtype=str)
    if len(set(subjects)) < FEWEST:
        few = f"{faces.folder} holds {len(set(subjects))} subjects with truth, and second layers need {FEWEST}"
        raise BadInput(f"{few}: gather the runs on the faces they were trained on, or add captures.")
    fold_file = runs / "folds.csv"
    labelled = labelled.assign(fold=fold_table.of_subjects(fold_file, fold_table.read(fold_file), subjects))
    folds, here = np.unique(labelled["fold"]), provenance.of(faces, fold_file)
    folders, left_out = _trained(runs, folds, [name.strip() for name in networks.split(",") if name.strip()])
    recipes = [_recipe(folder, folds, here) for folder in folders]
    points, test_points = zip(*(joined.network(folder, labelled, list(unlabelled["sample"])) for folder in folders))
    return OofStore(
        fingerprint=faces.fingerprint,
        networks=np.array([folder.name for folder in folders], dtype=str),
        recipes=np.array(recipes, dtype=str),
        samples=labelled["sample"].to_numpy(dtype=str),
        subjects=subjects,
        folds=labelled["fold"].to_numpy(),
        truth=np.asarray(faces.points3d[faces.has_truth], dtype=np.float64),
        test_samples=unlabelled["sample"].to_numpy(dtype=str),
        test_subjects=unlabelled["subject"].to_numpy(dtype=str),
        points=np.stack(points),
        test_points=np.stack(test_points),
    ), left_out


def _trained(runs: Path, folds: np.ndarray, wanted: list[str]) -> tuple[list[Path], list[str]]:
    """The folders of networks with all of their folds, and one sentence for each of the others."""
    found = sorted(path.name for path in runs.iterdir() if path.is_dir())
    whole, left_out = [], []
    for name in sorted(set(wanted)) or found:
        missing = [str(fold) for fold in folds if not (runs / name / f"fold{fold}" / "done.json").exists()]
        if missing and wanted:
            where = f"fold {', '.join(missing)} is not trained in {runs} (which holds {', '.join(found) or 'none'})"
            raise BadInput(f"network {name} is asked for, and its {where}: train it with 02_train_fold, or leave its name out.")
        if missing:
            left_out.append(f"{name} is left out: fold {', '.join(missing)} is not trained.")
            log.warning(left_out[-1])
        else:
            whole.append(runs / name)
    if not whole:
        raise BadInput(f"{runs} holds no network with all of its folds: train the missing ones with 02_train_fold.")
    return whole, left_out


def _recipe(folder: Path, folds: np.ndarray, here: dict[str, Any]) -> str:
    """The recipe that a network's folds were trained on. Raises BadInput if they differ in that or in anything else."""
    configs = [read_json(folder / f"fold{fold}" / "config.json") for fold in folds]
    configs = [config | config.get("became", {}) for config in configs]  # what "auto" came to
    shared = {part: here[part] for part in ("truth", "split")}  # by all networks
    for fold, config in zip(folds, configs):
        where = f"run {folder.name}, fold {fold} was trained"
        wrong = provenance.difference({part: config.get(part) for part in shared}, shared)
        if wrong:
            raise BadInput(f"{where} {wrong} than those at hand: train it again, or move the run away.")
        wrong = provenance.difference(config, configs[0], ignore=("fold", "became"))
        if wrong:
            raise BadInput(f"{where} {wrong}, unlike fold {folds[0]}: train one of them again.")
    return configs[0]["recipe"]
