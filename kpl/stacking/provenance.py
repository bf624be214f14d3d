"""What a run was trained on, in four words that can be compared: which faces, recipe, truth and folds."""

from pathlib import Path
from typing import Any

import numpy as np

from kpl.faces import FaceStore
from kpl.files import checksum

SENTENCES = {
    "folds": "by other folds (folds.csv)",
    "truth": "on another ground truth",
    "recipe": "on another crop recipe",
    "faces": "on other faces",
}


def of(store: FaceStore, folds_file: Path) -> dict[str, Any]:
    """The store's fingerprint and recipe's name, and checksums of its truth (by sample name) and of the file of
    folds."""
    known = np.flatnonzero(np.isfinite(store.points3d).all(axis=(1, 2)))  # whether or not its pictures can be used
    names = store.table["sample"].to_numpy(dtype=str)[known]
    order = np.argsort(names)
    truth = np.asarray(store.points3d, dtype=np.float64)[known][order]
    return {
        "faces": store.fingerprint,
        "recipe": store.recipe.get("name", ""),
        "truth": checksum(names[order].tolist(), truth.tobytes()),
        "folds": checksum(folds_file.read_bytes()),
    }


def difference(found: dict[str, Any], wanted: dict[str, Any], parts: tuple[str, ...]) -> str:
    """The first of the `parts` in which two provenances differ, as words for a sentence; "" if they agree."""
    return next((SENTENCES[part] for part in parts if found.get(part) != wanted.get(part)), "")
