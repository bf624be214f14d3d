"""The 106-landmark scheme: everything that knows a landmark's index lives here.

Names, mirror partners and mean positions come from `landmarks106.csv`. "left" and "right" are as seen in the
upright picture. The frame is the competition's canonical one: x to the right in the upright middle picture, y up,
z towards the camera, head pose taken out, eye centres about 0.75 apart; there is no physical unit.
"""

from pathlib import Path

import numpy as np
import pandas as pd

_TABLE = pd.read_csv(Path(__file__).with_name("landmarks106.csv"))

NAMES: tuple[str, ...] = tuple(_TABLE["name"])
COUNT = len(NAMES)
MIRROR: np.ndarray = _TABLE["mirror_index"].to_numpy()
MEAN_SHAPE: np.ndarray = _TABLE[["mean_x", "mean_y", "mean_z"]].to_numpy()


def index(name: str) -> int:
    """The index of the landmark called `name`. Raises ValueError if there is none."""
    return NAMES.index(name)


def _named(*names: str) -> np.ndarray:
    return np.array([index(name) for name in names])


def _containing(*parts: str) -> np.ndarray:
    return np.array([i for i, name in enumerate(NAMES) if any(part in name for part in parts)])


GROUPS: dict[str, np.ndarray] = {
    "contour": _containing("contour"),
    "brows": _containing("brow"),
    "eyes": _containing("_eye_", "pupil"),
    "nose": _containing("nose", "ala"),
    "lips": _containing("lip_"),
}

# The index sets of the official score.
EYE_CENTERS = (index("left_eye_center"), index("right_eye_center"))
EYE_DISTANCE = float(np.linalg.norm(MEAN_SHAPE[EYE_CENTERS[0]] - MEAN_SHAPE[EYE_CENTERS[1]]))  # of the mean shape
ALIGN = _named(
    "left_eye_outer_corner",
    "left_eye_inner_corner",
    "right_eye_inner_corner",
    "right_eye_outer_corner",
    "nose_tip",
    "lip_outer_left_corner",
    "lip_outer_right_corner",
)
INNER = np.setdiff1d(np.arange(COUNT), GROUPS["contour"])
PUPILS = (index("left_pupil"), index("right_pupil"))


def _ring(prefix: str, *order: str) -> np.ndarray:
    return _named(*(f"{prefix}_{part}" for part in order), f"{prefix}_{order[0]}")


def _brow(side: str) -> np.ndarray:
    upper = [index(f"{side}_brow_upper_{i}") for i in range(5)]
    lower = [index(f"{side}_brow_lower_{i}") for i in range(4)]
    return np.array(upper + lower[::-1] + upper[:1])


_EYE = (
    "outer_corner",
    "upper_outer",
    "upper_mid",
    "upper_inner",
    "inner_corner",
    "lower_inner",
    "lower_mid",
    "lower_outer",
)
_OUTER_LIP = (
    "left_corner",
    "upper_1",
    "upper_2",
    "upper_mid",
    "upper_4",
    "upper_5",
    "right_corner",
    "lower_1",
    "lower_2",
    "lower_mid",
    "lower_4",
    "lower_5",
)
_INNER_LIP = ("left_corner", "upper_1", "upper_mid", "upper_3", "right_corner", "lower_1", "lower_mid", "lower_3")

# Polylines that make a shape readable as a face when drawn.
OUTLINES: dict[str, np.ndarray] = {
    "contour": GROUPS["contour"],
    "left_brow": _brow("left"),
    "right_brow": _brow("right"),
    "left_eye": _ring("left_eye", *_EYE),
    "right_eye": _ring("right_eye", *_EYE),
    "nose_bridge": _named("nose_root", "nose_bridge_1", "nose_bridge_2", "nose_tip"),
    "nose_sides": _named(
        "left_nose_root",
        "left_nose_side",
        "left_ala",
        *(f"nose_base_{i}" for i in range(5)),
        "right_ala",
        "right_nose_side",
        "right_nose_root",
    ),
    "lip_outer": _ring("lip_outer", *_OUTER_LIP),
    "lip_inner": _ring("lip_inner", *_INNER_LIP),
}


def mirror_points(points: np.ndarray) -> np.ndarray:
    """Mirror canonical shapes (..., 106, 3): negate x and exchange left and right landmarks."""
    return points[..., MIRROR, :] * np.array([-1.0, 1.0, 1.0], dtype=points.dtype)


def mirror_points2d(points: np.ndarray, width: float = 1.0) -> np.ndarray:
    """Mirror picture points (..., 106, 2), x to the right, in a picture `width` wide (default: crop units 0..1)."""
    mirrored = points[..., MIRROR, :].copy()
    mirrored[..., 0] = width - mirrored[..., 0]
    return mirrored
