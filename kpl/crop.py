"""From a lying picture to an upright square face.

Coordinates are continuous: a picture of W x H pixels covers [0, W] x [0, H], x to the right, y down, and the centre
of pixel (column, row) is (column + 0.5, row + 0.5). Crop units are 0..1 over the crop's side.
"""

import os
from dataclasses import dataclass

import cv2
import numpy as np

from kpl.errors import BadInput

# Where the square lies on CenterFace's box: its side over the box's longer side, and its centre's shift from the
# box's centre in sides. Measured on 630 studio pictures: the box reaches up to the hair, and in side views it leaves
# out the rear of the near cheek. The smallest square around the landmarks is 0.82, 0.85, 0.82 (+- 0.04) of the
# longer side, and its centre strays by 0.03; this one is larger by a margin of twice that on either side.
SIDE = (0.92, 0.96, 0.92)  # views 0, 1, 2
SHIFT_X = (-0.026, 0.0, 0.026)
SHIFT_Y = 0.123


@dataclass(frozen=True)
class Square:
    """A square in an upright picture's pixels, which may go beyond the picture: top left corner and side."""

    x: int
    y: int
    side: int

    @property
    def box(self) -> np.ndarray:
        """(4,) x1 y1 x2 y2."""
        return np.array([self.x, self.y, self.x + self.side, self.y + self.side], dtype=np.float64)


def read_upright(path: str | None) -> np.ndarray | None:
    """A lying picture file as upright (H, W, 3) uint8 RGB; None if it is missing or does not decode."""
    if path is None or not os.path.isfile(path):
        return None
    data = np.fromfile(path, np.uint8)
    try:  # stored pixels, whatever a camera's tag says of their turn: points and boxes are given in them
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION) if data.size else None
    except cv2.error:
        return None
    return None if picture is None else upright(picture)


def upright(picture: np.ndarray) -> np.ndarray:
    """Turn a lying picture (H, W, ...) by 90 degrees clockwise, to (W, H, ...)."""
    return np.ascontiguousarray(np.rot90(picture, -1))


def lying(picture: np.ndarray) -> np.ndarray:
    """Undo `upright`."""
    return np.ascontiguousarray(np.rot90(picture))


def upright_points(points: np.ndarray, width: float) -> np.ndarray:
    """Points (..., 2) of a lying picture, in the upright one, which is `width` wide."""
    return np.stack([width - points[..., 1], points[..., 0]], -1)


def lying_points(points: np.ndarray, width: float) -> np.ndarray:
    """Undo `upright_points`."""
    return np.stack([points[..., 1], width - points[..., 0]], -1)


def upright_boxes(boxes: np.ndarray, width: float) -> np.ndarray:
    """Boxes (..., 4), x1 y1 x2 y2, of a lying picture, in the upright one, which is `width` wide."""
    return np.stack([width - boxes[..., 3], boxes[..., 0], width - boxes[..., 1], boxes[..., 2]], -1)


def lying_boxes(boxes: np.ndarray, width: float) -> np.ndarray:
    """Undo `upright_boxes`."""
    return np.stack([boxes[..., 1], width - boxes[..., 2], boxes[..., 3], width - boxes[..., 0]], -1)


def square_around(box: np.ndarray, view: int) -> Square:
    """The square to crop for a detector's box (4,), x1 y1 x2 y2, of a view, in whole pixels: see SIDE and SHIFT."""
    side = SIDE[view] * float(max(box[2] - box[0], box[3] - box[1]))
    return square_at((box[0] + box[2]) / 2 + SHIFT_X[view] * side, (box[1] + box[3]) / 2 + SHIFT_Y * side, side)


def square_at(x: float, y: float, side: float) -> Square:
    """The square of whole pixels about the centre (x, y)."""
    whole = max(1, round(side))
    return Square(round(x - whole / 2), round(y - whole / 2), whole)


def likely_squares(found: np.ndarray, square: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Where faces should be that were not found: (N, 3, 3) int64 x, y, side.

    found (N, 3) bool, square (N, 3, 3) x, y, side and frame (N, 3, 2) width, height in upright pixels. A square is
    the view's median over all samples, in parts of the picture, moved up or down and scaled as far as the sample's
    other views differ from their medians: the cameras stand at one height, so these go together. Raises BadInput
    if no face was found at all.
    """
    if not found.any():
        raise BadInput(
            "no face was found in any picture: they must lie on their side, so that turning them by 90"
            " degrees clockwise makes them upright."
        )
    parts = np.full(square.shape, np.nan)
    width, height = frame[found].T
    x, y, side = square[found].T
    parts[found] = np.stack([(x + side / 2) / width, (y + side / 2) / height, side / width], 1)
    overall = np.nanmedian(parts[found], axis=0)
    median = np.stack(
        [np.median(parts[seen, view], axis=0) if seen.any() else overall for view, seen in enumerate(found.T)]
    )
    own = np.where(found[..., None], parts - median, 0).sum(1) / np.maximum(found.sum(1), 1)[:, None]  # (N, 3)
    wanted = median + own[:, None] * np.array([0.0, 1.0, 1.0])
    side = np.maximum(wanted[..., 2] * frame[..., 0], 1)
    corner = wanted[..., :2] * frame - side[..., None] / 2
    return np.concatenate([corner, side[..., None]], -1).round().astype(np.int64)


def square_of_points(points: np.ndarray) -> np.ndarray:
    """The smallest squares (..., 4), x1 y1 x2 y2, that hold points (..., K, 2), about their bounding box's centre."""
    low, high = points.min(-2), points.max(-2)
    half = (high - low).max(-1, keepdims=True) / 2
    return np.concatenate([(low + high) / 2 - half, (low + high) / 2 + half], -1)


def crop(picture: np.ndarray, square: Square, size: int) -> np.ndarray:
    """Cut a square out of an upright picture (H, W, 3) uint8 and scale it to (size, size, 3); outside is black."""
    height, width = picture.shape[:2]
    left, right = (int(np.clip(x, 0, width)) for x in (square.x, square.x + square.side))
    top, bottom = (int(np.clip(y, 0, height)) for y in (square.y, square.y + square.side))
    whole = np.zeros((square.side, square.side, *picture.shape[2:]), picture.dtype)
    whole[top - square.y : bottom - square.y, left - square.x : right - square.x] = picture[top:bottom, left:right]
    # Shrinking must average all pixels, or fine structure turns into noise; enlarging must not show steps.
    return cv2.resize(whole, (size, size), interpolation=cv2.INTER_AREA if square.side > size else cv2.INTER_CUBIC)


def to_crop(points: np.ndarray, square: Square) -> np.ndarray:
    """Points (..., 2) in upright pixels, in crop units."""
    return (points - [square.x, square.y]) / square.side


def from_crop(points: np.ndarray, square: Square) -> np.ndarray:
    """Undo `to_crop`."""
    return points * square.side + [square.x, square.y]
