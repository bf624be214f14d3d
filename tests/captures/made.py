"""Captures made for tests: the readers of folders look at names only."""

import pickle
from pathlib import Path

import numpy as np
import scipy.io

# What people call folders, and what a page, a formula, a table or a line might make of it.
ODD_NAMES = {
    "$\\frac{1}$/01": "$\\frac{1}$/01",
    '"it\'s"/<!--<script>': '"it\'s"/<!--<script>',
    "x" * 200 + "/01": "x" * 200 + "/01",
    "\u05e9\u05dc\u05d5\u05dd/\u0627\u0628": "\u05e9\u05dc\u05d5\u05dd/\u0627\u0628",  # right to left
    "100%/01": "100%/01",
    "john_doe/01": "john_doe/01",
    "john doe/01": "john%20doe/01",
    "john  doe/my smile": "john%20%20doe/my%20smile",
    "tab\tand\u00a0more/01": "tab%09and%C2%A0more/01",
    "last /01": "last%20/01",
}


def competition(root: Path, *samples: str, name: str = "t.jpg") -> Path:
    for sample in samples:
        for view in range(3):
            _picture(root / sample / "Images" / str(view) / name)
    return root


def release(root: Path, *samples: str, name: str = "t.bmp") -> Path:
    for sample in samples:
        for view in range(3):
            _picture(root / sample / str(view) / name)
    return root


def _picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not looked at")


def shape(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(106, 3))


def scan(path: Path, landmarks: np.ndarray, column: bool = True) -> None:
    """Write a gt.mat in which `landmarks` are vertices, in a shuffled order, and a template with others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(300)[:106]

    def struct(points):
        vertices = rng.normal(size=(300, 3))
        vertices[order] = points
        return {
            "v": vertices,
            "f": np.array([[1, 2, 3]]),
            "kpt_ind": (order + 1).reshape((-1, 1) if column else (1, -1)),
            "tex": np.zeros((300, 3), np.uint8),
        }

    scipy.io.savemat(path, {"new_kpt_gt_obj": struct(landmarks), "neck_obj09": struct(landmarks + 9)})


def list_lines(sample: str, box: str = "10 20 30 40") -> list[str]:
    return [line for view in range(3) for line in (f"{sample}/Images/{view}/t.jpg", box)]


def write_pickle(path: Path, content: object) -> None:
    path.write_bytes(pickle.dumps(content))
