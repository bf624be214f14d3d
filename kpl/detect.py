"""The detectors behind one function."""

import cv2
import numpy as np

from kpl.crop import AS_IT_IS, Turn, upright, upright_size
from kpl.cropping import centerface
from kpl.cropping.detected import Faces

# The longest side in pixels at which each detector sees a picture.
LONGEST_SIDE = {"centerface": centerface.LONGEST_SIDE, "retinaface": 640}


def faces(picture: np.ndarray, turn: Turn = AS_IT_IS, detector: str = "centerface", weights: str = "") -> Faces:
    """Find the faces of an RGB picture (H, W, 3) uint8 which `turn` makes upright, in pixels of the upright picture.

    detector: "centerface" or "retinaface", which wants its file of weights. Only the reduced picture is turned.
    """
    small = reduced(picture, LONGEST_SIDE[detector])
    stretch = np.array([picture.shape[1] / small.shape[1], picture.shape[0] / small.shape[0]])
    if detector == "retinaface":
        from kpl.cropping.retinaface import retinaface  # its imports take seconds, and only its own recipes need them

        found = retinaface(upright(small, turn), weights)
    else:
        found = centerface.centerface(upright(small, turn))
    return found.stretched(np.array(upright_size(*stretch, turn)))


def reduced(picture: np.ndarray, longest_side: int) -> np.ndarray:
    """A picture reduced to a longest side, or as it is if it is not larger."""
    height, width = picture.shape[:2]
    scale = longest_side / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
