"""Where a face lies and how it is cut: turns, squares, similarities. Nothing here reads a file or looks for a face.

Coordinates are continuous: a picture of W x H pixels covers [0, W] x [0, H], x to the right, y down, and the centre
of pixel (column, row) is (column + 0.5, row + 0.5). Crop units are 0..1 over the crop's side. Maps between frames are
affine matrices (2, 3) that `moved` applies.
"""

from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

# Where the square lies on a detector's box: its side over the box's longer side, and its centre's shift from the box's
# in sides. Measured with CenterFace on 630 studio pictures, whose landmarks' smallest square is 0.82, 0.85, 0.82 (+- 0.04)
# of the longer side and strays by 0.03; this one is larger by a margin of twice that on either side. RetinaFace learned
# from the same boxes (WIDER FACE).
SIDE = (0.92, 0.96, 0.92)  # views 0, 1, 2
SHIFT_X = (-0.026, 0.0, 0.026)
SHIFT_Y = 0.123

# Where an aligned crop has the five points of each view, in crop units: their means over 450 studio pictures, with the
# smallest square around the landmarks in the middle, 1 / 1.16 of the side. View 2 mirrors view 0.
TEMPLATE = np.array(
    [
        [[0.582, 0.244], [0.851, 0.235], [0.850, 0.459], [0.594, 0.647], [0.803, 0.647]],
        [[0.315, 0.246], [0.685, 0.246], [0.500, 0.453], [0.349, 0.626], [0.651, 0.626]],
        [[0.149, 0.235], [0.418, 0.244], [0.150, 0.459], [0.197, 0.647], [0.406, 0.647]],
    ]
)


class Turn(NamedTuple):
    """What makes a stored picture upright: quarter turns clockwise, then, if mirrored, left and right exchanged."""

    quarters: int = 1
    mirrored: bool = False


LYING = Turn()  # the competition's cameras were mounted on their side
AS_IT_IS = Turn(0)
EXIF = [AS_IT_IS, Turn(0, True), Turn(2), Turn(2, True), Turn(1, True), Turn(1), Turn(3, True), Turn(3)]  # 1 to 8


class Square(NamedTuple):
    """A square in an upright picture's pixels, which may go beyond the picture: top left corner and side."""

    x: int
    y: int
    side: int

    @property
    def box(self) -> np.ndarray:
        """(4,) x1 y1 x2 y2."""
        return np.array([self.x, self.y, self.x + self.side, self.y + self.side], float)


def upright(picture: np.ndarray, turn: Turn = LYING) -> np.ndarray:
    """A stored picture (H, W, ...) turned upright. OpenCV turns pictures ten times as fast as numpy."""
    code = {1: cv2.ROTATE_90_CLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_COUNTERCLOCKWISE}.get(turn.quarters % 4)
    picture = picture if code is None else cv2.rotate(picture, code)
    return cv2.flip(picture, 1) if turn.mirrored else picture


def upright_size(width: float, height: float, turn: Turn = LYING) -> tuple[float, float]:
    """Width and height of the upright picture of a stored one."""
    return (height, width) if turn.quarters % 2 else (width, height)


def to_upright(width: float, height: float, turn: Turn = LYING) -> np.ndarray:
    """The map (2, 3) from a stored picture of this size into the upright one."""
    matrix = np.eye(2, 3)
    for _ in range(turn.quarters % 4):
        matrix = joined([[0, -1, height], [1, 0, 0]], matrix)
        width, height = height, width
    return joined([[-1, 0, width], [0, 1, 0]], matrix) if turn.mirrored else matrix


def moved(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., 2) mapped by a matrix (2, 3)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def moved_box(matrix: np.ndarray, box: np.ndarray) -> np.ndarray:
    """A box (4,) x1 y1 x2 y2 mapped by a matrix that keeps its sides horizontal and vertical."""
    corners = moved(matrix, np.asarray(box, float).reshape(2, 2))
    return np.concatenate([corners.min(0), corners.max(0)])


def joined(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The map that does `first`, then `second`."""
    return (np.vstack([second, [0, 0, 1]]) @ np.vstack([first, [0, 0, 1]]))[:2]


def inverse(matrix: np.ndarray) -> np.ndarray:
    """The map that undoes `matrix`."""
    return np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The turn, scale and shift (2, 3) that bring points (K, 2) closest to others in the least squares: S. Umeyama,
    "Least-squares estimation of transformation parameters between two point patterns", 1991, in complex numbers."""
    a, b = (points @ [1, 1j] for points in (source, target))
    factor, shift = np.linalg.lstsq(np.stack([a, np.ones(len(a))], axis=1), b)[0]
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def square_around(box: np.ndarray, view: int) -> Square:
    """The square to crop for a detector's box (4,), x1 y1 x2 y2, of a view, in whole pixels: see SIDE and SHIFT."""
    side = SIDE[view] * float(max(box[2] - box[0], box[3] - box[1]))
    return square_at((box[0] + box[2]) / 2 + SHIFT_X[view] * side, (box[1] + box[3]) / 2 + SHIFT_Y * side, side)


def square_at(x: float, y: float, side: float) -> Square:
    """The square of whole pixels about the centre (x, y)."""
    whole = max(1, round(side))
    return Square(round(x - whole / 2), round(y - whole / 2), whole)


def square_of_points(points: np.ndarray) -> np.ndarray:
    """The smallest squares (..., 4), x1 y1 x2 y2, that hold points (..., K, 2), about their bounding box's centre."""
    low, high = points.min(-2), points.max(-2)
    half = (high - low).max(-1, keepdims=True) / 2
    return np.concatenate([(low + high) / 2 - half, (low + high) / 2 + half], -1)


def square_to_crop(square: Square) -> np.ndarray:
    """The map (2, 3) from upright pixels into the crop units of a square."""
    return np.array([[1, 0, -square.x], [0, 1, -square.y]], float) / square.side


def crop(picture: np.ndarray, square: Square, size: int) -> np.ndarray:
    """Cut a square out of a picture (H, W, 3) uint8 and scale it to (size, size, 3); outside is black."""
    whole = np.asarray(Image.fromarray(picture).crop(square.box.astype(int).tolist()))
    if square.side == size:
        return whole
    # Shrinking must average all pixels, or fine structure turns into noise; enlarging must not show steps.
    return cv2.resize(whole, (size, size), interpolation=cv2.INTER_AREA if square.side > size else cv2.INTER_CUBIC)


def warp(picture: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Cut along a similarity (2, 3) from the picture's pixels into crop units: (size, size, 3) uint8, outside black."""
    matrix = np.asarray(matrix, float) * size
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if scale < 1:  # average all pixels first, as `crop` does
        small = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
        matrix = joined(matrix, np.diag([*np.divide(picture.shape[1::-1], small), 0])[:2])
        picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5  # OpenCV counts from the centre of the first pixel
    return cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
