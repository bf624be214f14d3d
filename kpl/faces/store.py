"""The store of faces: every sample's three upright crops in one array, and one table that says where they are from.

crops.npy    (N, 3, S, S, 3) uint8 RGB, zeros where a view is excluded: a sample's three crops are one read
faces.csv    sample, subject, expression, split, outcome (ok; fallback: not all views are; excluded: fewer than two views
             in which a face was found, so it is not trained on), and for each view v: status{v} and reason{v} (see
             kpl.faces.cutting), score{v}, roll{v} (degrees clockwise), picture{v} (its file below the captures), x{v}, y{v},
             side{v} (the crop's square) and width{v}, height{v}, all in pixels of the upright picture; empty where
             there is none
targets.npz  samples (N,), points3d (N, 106, 3) canonical, points2d (N, 3, 106, 2) in crop units, and transforms
             (N, 3, 2, 3) from stored pixels into crop units; NaN if unknown.
done.json    written last: recipe, orientation, SHA-256 of the detector's weights, fingerprint of all of the above
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kpl.captures import VIEWS
from kpl.errors import BadInput
from kpl.faces import geometry
from kpl.files import read_json, read_npz

NAMES = ["sample", "subject", "expression", "split"]
COLUMNS = ["status", "reason", "score", "roll", "picture", "x", "y", "side", "width", "height"]  # of each view
_TEXTS = ("status", "reason", "picture")
_TARGETS = ("points3d", "points2d", "transforms")


@dataclass(frozen=True)
class FaceStore:
    """N samples' faces."""

    table: pd.DataFrame  # faces.csv
    crops: np.ndarray  # (N, 3, S, S, 3) uint8 RGB, memory-mapped
    points3d: np.ndarray  # (N, 106, 3) float64, canonical frame, NaN where unknown
    points2d: np.ndarray  # (N, 3, 106, 2) float32, crop units, NaN where unknown
    recipe: dict[str, Any]  # name, detector, cut, size
    folder: Path
    fingerprint: str  # changes with the table, the crops or the targets
    transforms: np.ndarray | None = None  # (N, 3, 2, 3) from stored pixels into crop units, NaN where excluded
    orientation: str = ""  # one line: turn and side, on what evidence

    @property
    def has_truth(self) -> np.ndarray:
        """(N,) whether a sample's true shape is there."""
        return np.isfinite(self.points3d).all(axis=(1, 2))

    @property
    def known(self) -> np.ndarray:
        """(N,) whether a sample can be learned from: its true shape is there, and it is not excluded."""
        return self.has_truth & ~np.asarray(self.table.get("outcome", "") == "excluded")

    @property
    def seen(self) -> np.ndarray:
        """(N, 3) whether a view has a crop."""
        return (self.table[[f"status{view}" for view in VIEWS]] != "excluded").to_numpy()

    def on_picture(self, row: int, view: int, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) in crop units, in pixels of the original picture as it is stored."""
        return geometry.moved(geometry.inverse(self.transforms[row, view]), points)


def load(folder: str | Path) -> FaceStore:
    """Open a finished store. Raises BadInput if there is none or it is damaged."""
    folder = Path(folder)
    if not (folder / "done.json").is_file():
        raise BadInput(f"{folder} is no finished store of faces: run 01_preprocess with this folder as 'faces'.")
    done = read_json(folder / "done.json")
    targets = read_npz(folder / "targets.npz", ("samples", *_TARGETS))
    try:
        texts = dict.fromkeys([*NAMES, *(f"{name}{view}" for name in _TEXTS for view in VIEWS)], str)
        empty = {f"{name}{view}": [""] for name in COLUMNS if name not in _TEXTS for view in VIEWS}
        table = pd.read_csv(folder / "faces.csv", dtype=texts, keep_default_na=False, na_values=empty)
        crops = np.load(folder / "crops.npy", mmap_mode="r", allow_pickle=False)
        if len(table) != len(crops) or table["sample"].tolist() != targets["samples"].tolist():
            raise ValueError("its files do not fit each other")
    except (OSError, ValueError) as error:
        raise BadInput(f"{folder} is damaged ({error}): delete it and run 01_preprocess again.") from None
    said = {name: done[name] for name in ("recipe", "fingerprint", "orientation")}
    return FaceStore(table, crops, folder=folder, **said, **{name: targets[name] for name in _TARGETS})


def outcome(status: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Of the views' status (N, 3) and score (N, 3), NaN where no face was found: the samples' outcome (N,)."""
    found = np.isfinite(score).sum(1)
    return np.where(found < 2, "excluded", np.where((status == "ok").all(1), "ok", "fallback"))
