"""The out-of-fold store: what each network says of samples that it was not trained on, joined by sample name."""

import logging
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kpl import folds as fold_table
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import read_json, read_npz, write_npz
from kpl.stacking import joined, provenance

log = logging.getLogger("kpl")


@dataclass(frozen=True)
class OofStore:
    """K networks' canonical shapes: of N samples with truth, out of fold, and of M without, by each of F folds'
    networks."""

    fingerprint: str  # of the faces it was gathered from
    networks: np.ndarray  # (K,) names
    seeds: np.ndarray  # (K,) that they were trained with
    recipes: np.ndarray  # (K,) of the crops that they were trained on
    samples: np.ndarray  # (N,) names
    subjects: np.ndarray  # (N,)
    folds: np.ndarray  # (N,) the fold in which the sample was held out
    truth: np.ndarray  # (N, 106, 3)
    points: np.ndarray  # (K, N, 106, 3)
    test_samples: np.ndarray  # (M,)
    test_subjects: np.ndarray  # (M,)
    test_points: np.ndarray  # (K, F, M, 106, 3), folds in ascending order

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
    subject; every sample without truth once per fold. Networks may differ in all but truth and folds (crops of another
    recipe are welcome); a network's own folds may not differ at all. Returns the store and one sentence for each
    network left out because some of its folds are not trained. Raises BadInput naming run, fold and sample where
    predictions and faces disagree, and if no network is left.
    """
    table = faces.table.reset_index(drop=True)
    known = faces.known
    if not known.any():
        raise BadInput(f"{faces.folder} holds no sample with truth: gather the runs on the faces they were trained on.")
    labelled = table[known].assign(fold=_fold_of_each(runs / "folds.csv", table.loc[known, "subject"]))
    unlabelled = table[~known]
    here = provenance.of(faces, runs / "folds.csv")

    names, settings, points, test_points, left_out = [], [], [], [], []
    for folder in sorted(path for path in runs.iterdir() if path.is_dir()):
        untrained = [
            str(fold) for fold in np.unique(labelled["fold"]) if not (folder / f"fold{fold}" / "done.json").exists()
        ]
        if untrained:
            left_out.append(f"{folder.name} is left out: fold {', '.join(untrained)} is not trained.")
            log.warning(left_out[-1])
            continue
        settings.append(_settings(folder, np.unique(labelled["fold"]), here))
        held_out, test = joined.network(folder, labelled, list(unlabelled["sample"]))
        names.append(folder.name)
        points.append(held_out)
        test_points.append(test)
    if not names:
        raise BadInput(f"{runs} holds no network with all of its folds: train the missing ones with 02_train_fold.")
    return OofStore(
        fingerprint=faces.fingerprint,
        networks=np.array(names, dtype=str),
        seeds=np.array([setting["seed"] for setting in settings]),
        recipes=np.array([setting["recipe"] for setting in settings], dtype=str),
        samples=labelled["sample"].to_numpy(dtype=str),
        subjects=labelled["subject"].to_numpy(dtype=str),
        folds=labelled["fold"].to_numpy(),
        truth=np.asarray(faces.points3d[known], dtype=np.float64),
        points=np.stack(points),
        test_samples=unlabelled["sample"].to_numpy(dtype=str),
        test_subjects=unlabelled["subject"].to_numpy(dtype=str),
        test_points=np.stack(test_points),
    ), left_out


def _settings(folder: Path, folds: np.ndarray, here: dict[str, Any]) -> dict[str, Any]:
    """The seed and the recipe that a network's folds share. Raises BadInput if they differ in that or in anything
    else."""
    first: dict[str, Any] = {}
    for fold in folds:
        where = f"run {folder.name}, fold {fold}"
        config = read_json(folder / f"fold{fold}" / "config.json")
        inputs = read_json(folder / f"fold{fold}" / "done.json").get("inputs")
        if inputs is None:  # of an older run, which knows its faces only
            inputs = here | {"faces": config.get("store")}
            wrong = provenance.difference(inputs, here, ("faces",))
        else:
            wrong = provenance.difference(inputs, here, ("folds", "truth"))
        if wrong:
            raise BadInput(
                f"{where} was trained {wrong} than those at hand: train the fold again, or move the run away."
            )
        first = first or {"fold": fold, "config": config, "inputs": inputs}
        wrong = provenance.difference(inputs, first["inputs"], ("recipe", "faces"))
        if wrong:
            raise BadInput(f"{where} was trained {wrong} than fold {first['fold']}: train one of them again.")
        for name in sorted((set(config) | set(first["config"])) - {"fold"}):
            if config.get(name) != first["config"].get(name):
                raise BadInput(
                    f"{where} was trained with {name}={config.get(name)!r}, fold {first['fold']} with "
                    f"{first['config'].get(name)!r}: train one of them again."
                )
    return {"seed": int(first["config"].get("seed", 0)), "recipe": first["inputs"]["recipe"]}


def _fold_of_each(file: Path, subjects: pd.Series) -> np.ndarray:
    fold = subjects.map(fold_table.read(file).set_index("subject")["fold"])
    if fold.isna().any():
        raise BadInput(
            f"{file} gives no fold to subject {subjects[fold.isna()].iloc[0]}: its captures came after the "
            f"training; train into another runs folder."
        )
    return fold.to_numpy(dtype=int)
