"""Detectors behind one function, and which of several faces a picture is of.

A detector is a module of this room with LONGEST_SIDE, to which pictures are best reduced, and find(picture, weights),
which answers Faces for an upright RGB picture (H, W, 3) uint8. It is imported when asked: RetinaFace takes seconds.
"""

import importlib
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from kpl.faces.geometry import AS_IT_IS, Turn, upright, upright_size

RIVAL = 0.25  # a second face of so much of the first one's area may be meant
UPRIGHT = 45.0  # degrees of roll: a face that is turned more is seen in the wrong turn


class Faces(NamedTuple):
    """N faces, the best first, in pixels of the given picture: (0, 0) is its corner, x to the right, y down."""

    boxes: np.ndarray  # (N, 4) x1 y1 x2 y2, beyond the picture where it cuts the face
    scores: np.ndarray  # (N,) 0..1
    points: np.ndarray  # (N, 5, 2) eyes (the picture's left one first), nose, corners of the mouth (left first)


def faces(picture: np.ndarray, turn: Turn = AS_IT_IS, detector: str = "centerface", weights: str = "") -> Faces:
    """Find the faces of an RGB picture (H, W, 3) uint8 which `turn` makes upright, in pixels of the upright picture.

    detector: "centerface" or "retinaface", which wants its file of weights. Only the reduced picture is turned.
    """
    module = importlib.import_module(f"kpl.faces.{detector}")
    small = reduced(picture, module.LONGEST_SIDE)
    found = module.find(upright(small, turn), weights)
    stretch = upright_size(picture.shape[1] / small.shape[1], picture.shape[0] / small.shape[0], turn)
    return Faces(found.boxes * np.tile(stretch, 2), found.scores, found.points * stretch)


def best_turn(
    picture: np.ndarray, turns: Sequence[Turn], detector: str = "centerface", weights: str = ""
) -> tuple[float, Turn, Faces]:
    """Of some turns the one in which the main face is upright and scores highest: that score, the turn, and the faces
    seen there. Score 0 and the first turn if no face is upright in any."""
    looks = []
    for turn in turns:
        found = faces(picture, turn, detector, weights)
        best = main_faces(found, *upright_size(*picture.shape[1::-1], turn))[0] if len(found.scores) else None
        is_upright = best is not None and abs(roll(found.points[best])) <= UPRIGHT
        looks.append((float(found.scores[best]) if is_upright else 0.0, turn, found))
    return max(looks, key=lambda look: look[0])


def main_faces(faces: Faces, width: float, height: float) -> np.ndarray:
    """Indices of the faces that the picture may be of, the likeliest first, of one or more: of those that score at least
    half of the best, by area less twice the centre's squared distance from the picture's (D. Sandberg's facenet), and
    beyond the first only such as are not much smaller."""
    size = faces.boxes[:, 2:] - faces.boxes[:, :2]
    offset = (faces.boxes[:, 2:] + faces.boxes[:, :2]) / 2 - np.array([width, height]) / 2
    merit, area = size.prod(1) - 2 * (offset**2).sum(1), size.prod(1)
    sure = [i for i in np.argsort(-merit) if faces.scores[i] >= faces.scores.max() / 2]
    return np.array([i for i in sure if area[i] >= RIVAL * area[sure[0]]])


def roll(points: np.ndarray) -> float:
    """How far five points (5, 2) are turned clockwise, in degrees: the direction from the eyes to the mouth."""
    x, y = points[3:].mean(0) - points[:2].mean(0)
    return float(np.degrees(np.arctan2(-x, y)))


def nose_offset(points: np.ndarray) -> float:
    """How far the nose of five points (5, 2) lies to the right of the eyes' middle, in eye distances."""
    eyes = points[1] - points[0]
    return float((points[2] - points[:2].mean(0)) @ eyes / max(eyes @ eyes, 1e-12))


def reduced(picture: np.ndarray, longest_side: int) -> np.ndarray:
    """A picture reduced to a longest side, or as it is if it is not larger."""
    scale = longest_side / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
