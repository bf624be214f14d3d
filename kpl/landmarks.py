"""The 106-landmark scheme: everything that knows a landmark's index lives here.

Names, mirror partners and mean positions come from `landmarks106.csv`, polylines from `outlines.csv`. "left" and "right" are as seen in the
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


# Which names, as regular expressions, belong to a group.
_PARTS = {"contour": "contour", "brows": "brow", "eyes": "_eye_|pupil", "nose": "nose|ala", "lips": "lip_"}
GROUPS: dict[str, np.ndarray] = {group: np.flatnonzero(_TABLE["name"].str.contains(parts)) for group, parts in _PARTS.items()}

# The index sets of the official score.
EYE_CENTERS = (index("left_eye_center"), index("right_eye_center"))
EYE_DISTANCE = float(np.linalg.norm(np.subtract(*MEAN_SHAPE[list(EYE_CENTERS)])))  # of the mean shape
_EYE_CORNERS = "left_eye_outer_corner left_eye_inner_corner right_eye_inner_corner right_eye_outer_corner"
_ANCHORS = f"{_EYE_CORNERS} nose_tip lip_outer_left_corner lip_outer_right_corner"
ALIGN = np.array([index(name) for name in _ANCHORS.split()])
INNER = np.setdiff1d(np.arange(COUNT), GROUPS["contour"])
PUPILS = (index("left_pupil"), index("right_pupil"))

# Polylines that make a shape readable as a face when drawn.
OUTLINES: dict[str, np.ndarray] = {
    name: np.array([index(landmark) for landmark in line["landmark"]])
    for name, line in pd.read_csv(Path(__file__).with_name("outlines.csv")).groupby("outline", sort=False)
}


def mirror_points(points):
    """Mirror canonical shapes (..., 106, 3), arrays or tensors: negate x and exchange left and right landmarks."""
    mirrored = points[..., MIRROR.tolist(), :]  # a copy
    mirrored[..., 0] *= -1
    return mirrored


def mirror_points2d(points, width: float = 1.0):
    """Mirror picture points (..., 106, 2), arrays or tensors, x to the right, in a picture `width` wide (default: crop
    units 0..1)."""
    mirrored = points[..., MIRROR.tolist(), :]
    mirrored[..., 0] = width - mirrored[..., 0]
    return mirrored
