"""Ground truth: pickles of {sample: (106, 3) array}, and the scans of the Pixel-Face release."""

import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from scipy.io.matlab import MatReadError

from kpl.captures.folders import one_word, walk
from kpl.captures.unpickle import DAMAGE, load_dict
from kpl.errors import BadInput
from kpl.landmarks import COUNT


def read(root: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Truth by sample from a pickle, or from a folder's pickles and then scans; and what is wrong with the rest."""
    found: dict[str, np.ndarray] = {}
    problems: list[str] = []

    def keep(file: Path, sample: str, points: Any, fault: str = "") -> None:
        if fault := fault or _fault(points, found.get(sample)):
            problems.append(f"{sample}: the truth in {file} {fault}; it is left out.")
        else:
            found[sample] = points.astype(np.float64)

    for file in [root] if root.is_file() else sorted(p for p in root.iterdir() if p.suffix in (".pkl", ".pickle")):
        content = _truth_in(file, needed=root.is_file() or "gt" in file.stem)  # the competition's name, the studio's too
        if not content:
            problems.append(f"{file} holds no truth and is left alone.")
        for name, points in content.items():
            keep(file, one_word(name), points)
    for name, sample in sorted(walk(root).items()):
        if sample.scan and name not in found:
            scan = Path(sample.scan)
            keep(scan, name, *_landmarks(scan, scan.stat().st_mtime_ns))
    return found, problems


def _truth_in(file: Path, needed: bool) -> dict[str, Any]:
    """What a pickle holds; nothing, unless it is `needed`, of one that is damaged or of other things."""
    try:
        content = load_dict(file)
    except BadInput:
        if needed:
            raise
        return {}
    return content if needed or any(_fault(points, None) == "" for points in content.values()) else {}


def _fault(points: Any, other: np.ndarray | None) -> str:
    shape = getattr(points, "shape", type(points).__name__)
    if shape != (COUNT, 3):
        return f"is of shape {shape}, not ({COUNT}, 3)"
    if not np.isfinite(points).all():
        return "has NaN or infinite coordinates"
    return "" if other is None or np.array_equal(points, other) else "contradicts what was read before"


@cache  # a scan has a million vertices, and its 106 are asked for more than once
def _landmarks(file: Path, modified: int) -> tuple[np.ndarray | None, str]:
    try:
        scan = scipy.io.loadmat(file, variable_names=["new_kpt_gt_obj"])["new_kpt_gt_obj"][0, 0]
        indices = np.asarray(scan["kpt_ind"]).ravel().astype(int)
        if indices.min() < 1:
            raise IndexError("kpt_ind counts from 1")
        return np.asarray(scan["v"], float)[indices - 1], ""
    except (*DAMAGE, MatReadError, zlib.error) as error:
        return None, f"is no scan with a struct new_kpt_gt_obj of v and kpt_ind ({error or type(error).__name__})"
