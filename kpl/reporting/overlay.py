"""Shapes drawn on pictures: the camera that a picture was taken with, found from what it sees, and a pen."""

import cv2
import numpy as np

from kpl.landmarks import OUTLINES


def fit_camera(shape: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The projective camera (3, 4) that sees landmarks (106, 3) at points (106, 2), by direct linear transformation
    (Hartley & Zisserman, 2nd ed., section 7.1), with centred and scaled points."""
    centre, size = shape.mean(axis=0), shape.std()
    middle, width = points.mean(axis=0), points.std()
    solid = np.column_stack([(shape - centre) / size, np.ones(len(shape))])
    x, y = ((points - middle) / width).T
    zeros = np.zeros_like(solid)
    rows = np.concatenate(
        [np.hstack([solid, zeros, -x[:, None] * solid]), np.hstack([zeros, solid, -y[:, None] * solid])]
    )
    camera = np.linalg.svd(rows, full_matrices=False)[2][-1].reshape(3, 4)
    to_points = np.array([[width, 0, middle[0]], [0, width, middle[1]], [0, 0, 1]])
    from_shape = np.vstack([np.column_stack([np.eye(3) / size, -centre / size]), [0, 0, 0, 1]])
    return to_points @ camera @ from_shape


def project(camera: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """A camera (3, 4) sees landmarks (106, 3) at points (106, 2)."""
    seen = np.column_stack([shape, np.ones(len(shape))]) @ camera.T
    return seen[:, :2] / seen[:, 2:]


def draw(picture: np.ndarray, points: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Draw landmarks (106, 2) in pixels, with their outlines, on a picture (H, W, 3) uint8 in place."""
    fine = np.round(points * 8).astype(np.int32)  # eighths of a pixel
    for outline in OUTLINES.values():
        cv2.polylines(picture, [fine[outline]], False, colour, 1, cv2.LINE_AA, shift=3)
    for x, y in fine:
        cv2.circle(picture, (int(x), int(y)), 10, colour, -1, cv2.LINE_AA, shift=3)
