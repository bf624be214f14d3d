"""What a run depends on, in one dict (its config.json): parameters, faces, truth, folds and code. Training goes on only
in a folder where it is the same, and the folds of one network are joined only where they agree."""

from pathlib import Path
from typing import Any

import numpy as np

from kpl.config import ROOT, TrainFold, cells
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import checksum, code_checksum, read_json

CODE = ("landmarks", "score", "cameras", "networks", "train")  # what a trained network's numbers come from
MAY_CHANGE = {"faces", "runs", "workers", "tracker", "save_every"}  # parameters that do not change what a run finds
SENTENCES = {
    "store": "on other faces",
    "recipe": "on another crop recipe",
    "truth": "on another ground truth",
    "split": "by other folds (folds.csv)",
    "code": "by other code (of kpl or of the notebook)",
}


def of_run(p: TrainFold, store: FaceStore) -> dict[str, Any]:
    """All that a fold's result depends on, but for what its "auto" parameters come to."""
    return p.model_dump(mode="json", exclude=MAY_CHANGE) | of(store, p.runs / "folds.csv") | {"code": code()}


def of(store: FaceStore, folds_file: Path) -> dict[str, Any]:
    """The store's fingerprint and recipe, and checksums of its truth (by sample name) and of the file of folds."""
    table = store.table[store.has_truth].sort_values("sample")
    truth = np.asarray(store.points3d, np.float64)[table.index]
    return {
        "store": store.fingerprint,
        "recipe": store.recipe["name"],
        "truth": checksum(table["sample"].tolist(), truth.tobytes()),
        "split": checksum(folds_file.read_bytes()),
    }


def code() -> str:
    """A checksum of what trains: drawings do not count."""
    return code_checksum(*(ROOT / "kpl" / part for part in CODE), sources=cells("02_train_fold", ""))


def difference(found: dict[str, Any], wanted: dict[str, Any], ignore: tuple[str, ...] = ()) -> str:
    """The first thing in which two such dicts differ, as words that follow "trained"; "" if they agree."""
    for name in dict.fromkeys([*SENTENCES, *wanted, *found]):
        if name not in ignore and found.get(name) != wanted.get(name):
            return SENTENCES.get(name) or f"with {name}={found.get(name)!r}, not {wanted.get(name)!r}"
    return ""


def refuse_another(p: TrainFold, store: FaceStore) -> None:
    """Raise BadInput if the run's folder holds a run of other parameters, faces, folds or code."""
    file = p.run_folder / "config.json"
    wrong = difference(read_json(file), of_run(p, store), ignore=("became",)) if file.exists() else ""
    if wrong:
        remedy = "give this one another name or runs folder, or delete that folder."
        raise BadInput(f"{p.run_folder} holds a run that was trained {wrong}: {remedy}")
