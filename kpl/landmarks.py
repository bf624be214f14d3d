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


def _named(prefix: str, parts: str) -> np.ndarray:
    return np.array([index(prefix + part) for part in parts.split()])


def _ring(prefix: str, parts: str) -> np.ndarray:
    return _named(prefix, f"{parts} {parts.split()[0]}")


# Which names, as regular expressions, belong to a group.
_PARTS = {"contour": "contour", "brows": "brow", "eyes": "_eye_|pupil", "nose": "nose|ala", "lips": "lip_"}
GROUPS: dict[str, np.ndarray] = {
    group: np.flatnonzero(_TABLE["name"].str.contains(parts)) for group, parts in _PARTS.items()
}

# The index sets of the official score.
EYE_CENTERS = (index("left_eye_center"), index("right_eye_center"))
EYE_DISTANCE = float(np.linalg.norm(np.subtract(*MEAN_SHAPE[list(EYE_CENTERS)])))  # of the mean shape
_EYE_CORNERS = "left_eye_outer_corner left_eye_inner_corner right_eye_inner_corner right_eye_outer_corner"
ALIGN = _named("", f"{_EYE_CORNERS} nose_tip lip_outer_left_corner lip_outer_right_corner")
INNER = np.setdiff1d(np.arange(COUNT), GROUPS["contour"])
PUPILS = (index("left_pupil"), index("right_pupil"))

_BROW = "upper_0 upper_1 upper_2 upper_3 upper_4 lower_3 lower_2 lower_1 lower_0"
_EYE = "outer_corner upper_outer upper_mid upper_inner inner_corner lower_inner lower_mid lower_outer"
_NOSTRILS = "left_ala nose_base_0 nose_base_1 nose_base_2 nose_base_3 nose_base_4 right_ala"
_OUTER_LIP = (
    "left_corner upper_1 upper_2 upper_mid upper_4 upper_5 right_corner lower_1 lower_2 lower_mid lower_4 lower_5"
)
_INNER_LIP = "left_corner upper_1 upper_mid upper_3 right_corner lower_1 lower_mid lower_3"

# Polylines that make a shape readable as a face when drawn.
OUTLINES: dict[str, np.ndarray] = {
    "contour": GROUPS["contour"],
    "left_brow": _ring("left_brow_", _BROW),
    "right_brow": _ring("right_brow_", _BROW),
    "left_eye": _ring("left_eye_", _EYE),
    "right_eye": _ring("right_eye_", _EYE),
    "nose_bridge": _named("nose_", "root bridge_1 bridge_2 tip"),
    "nose_sides": _named("", f"left_nose_root left_nose_side {_NOSTRILS} right_nose_side right_nose_root"),
    "lip_outer": _ring("lip_outer_", _OUTER_LIP),
    "lip_inner": _ring("lip_inner_", _INNER_LIP),
}


def mirror_points(points: np.ndarray) -> np.ndarray:
    """Mirror canonical shapes (..., 106, 3): negate x and exchange left and right landmarks."""
    return points[..., MIRROR, :] * np.array([-1.0, 1.0, 1.0], dtype=points.dtype)


def mirror_points2d(points: np.ndarray, width: float = 1.0) -> np.ndarray:
    """Mirror picture points (..., 106, 2), x to the right, in a picture `width` wide (default: crop units 0..1)."""
    mirrored = points[..., MIRROR, :].copy()
    mirrored[..., 0] = width - mirrored[..., 0]
    return mirrored
