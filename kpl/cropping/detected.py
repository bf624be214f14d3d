"""What a detector answers, and which of several faces a picture is of."""

from dataclasses import dataclass

import numpy as np

UPRIGHT = 45.0  # degrees of roll: a face that is turned more is seen in the wrong turn
SAME_FACE = 0.3  # the IoU from which two boxes are one face


@dataclass(frozen=True)
class Faces:
    """N faces, the best first, in pixels of the given picture: (0, 0) is its corner, x to the right, y down."""

    boxes: np.ndarray  # (N, 4) x1 y1 x2 y2, beyond the picture where it cuts the face
    scores: np.ndarray  # (N,) 0..1
    points: np.ndarray  # (N, 5, 2) eyes (the picture's left one first), nose, corners of the mouth (left first)

    def stretched(self, factors: np.ndarray) -> "Faces":
        """The same faces in a picture that is `factors` (2,) as wide and high."""
        return Faces(self.boxes * np.tile(factors, 2), self.scores, self.points * factors)


def main_face(faces: Faces, width: float, height: float) -> int:
    """The index of the face that the picture is of; there must be one.

    Among faces that score at least half of the best, the one with the largest area less twice the squared distance
    of its centre from the picture's (the rule of D. Sandberg's facenet).
    """
    size = faces.boxes[:, 2:] - faces.boxes[:, :2]
    offset = (faces.boxes[:, 2:] + faces.boxes[:, :2]) / 2 - np.array([width, height]) / 2
    merit = size.prod(1) - 2 * (offset**2).sum(1)
    return int(np.where(faces.scores >= faces.scores.max() / 2, merit, -np.inf).argmax())


def roll(points: np.ndarray) -> float:
    """How far five points (5, 2) are turned clockwise, in degrees: the direction from the eyes to the mouth."""
    x, y = points[3:].mean(0) - points[:2].mean(0)
    return float(np.degrees(np.arctan2(-x, y)))


def nose_offset(points: np.ndarray) -> float:
    """How far the nose of five points (5, 2) lies to the right of the eyes' middle, in eye distances."""
    eyes = points[1] - points[0]
    return float((points[2] - points[:2].mean(0)) @ eyes / max(eyes @ eyes, 1e-12))


def iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (..., 4) x1 y1 x2 y2, broadcast, of shape (...)."""
    one, other = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    size = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    shared = np.clip(size, 0, None).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(-1) for box in (one, other)]
    return shared / np.maximum(areas[0] + areas[1] - shared, np.finfo(np.float64).tiny)


def distinct(boxes: np.ndarray, scores: np.ndarray) -> list[int]:
    """Indices of the boxes that no better-scored kept one overlaps, the best first (non-maximum suppression)."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if (iou(boxes[i], boxes[kept]) < SAME_FACE).all():
            kept.append(int(i))
    return kept
