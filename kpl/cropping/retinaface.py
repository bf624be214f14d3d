"""RetinaFace with ResNet-50: finds faces, with boxes, scores and five points.

The network is that of Deng, Guo, Ververas, Kotsia, Zafeiriou, "RetinaFace: Single-Shot Multi-Level Face Localisation in
the Wild", CVPR 2020, as the package batch-face builds it (https://github.com/elliottzheng/batch-face, MIT), which is
the code of https://github.com/biubug6/Pytorch_Retinaface (MIT). The weights are that project's Resnet50_Final.pth: they
learned from pictures in BGR order less (104, 117, 123). They are read without running code from the file.
"""

import pickle
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from batch_face.face_detection.alignment import RetinaFace, batch_detect, cfg_re50, pretrained_urls
from safetensors import SafetensorError
from safetensors.torch import load_file

from kpl.cropping.detected import Faces
from kpl.errors import BadInput
from kpl.files import atomic

THRESHOLD = 0.5  # the lowest score of a face
URL = pretrained_urls["resnet50"]


def retinaface(picture: np.ndarray, weights: str, threshold: float = THRESHOLD) -> Faces:
    """Find the faces of an upright RGB picture (H, W, 3) uint8 with the weights in a file: see `weights_file`."""
    network = _network(str(weights))
    device = next(network.parameters()).device
    found = batch_detect(network, [picture], device, threshold=threshold, cv=True)[0]  # cv: exchange red and blue
    boxes, points, scores = zip(*found) if found else ((), (), ())
    return Faces(
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.array(scores, dtype=np.float64),
        np.array(points, dtype=np.float64).reshape(-1, 5, 2),
    )


def weights_file(given: str = "") -> Path:
    """The file of weights: the given one, else the one in torch's cache, else downloaded there. Raises BadInput."""
    if given:
        if not Path(given).is_file():
            raise BadInput(f"{given} is no file: {_how()}")
        return Path(given)
    cached = Path(torch.hub.get_dir(), "checkpoints", URL.rsplit("/", 1)[1])
    if not cached.is_file():
        try:
            with urllib.request.urlopen(URL, timeout=30) as answer, atomic(cached) as temporary:
                temporary.write_bytes(answer.read())
        except (OSError, urllib.error.URLError) as error:
            raise BadInput(
                f"RetinaFace's weights could not be downloaded from {URL} ({error}): {_how(cached)}"
            ) from None
    return cached


@cache
def _network(weights: str) -> RetinaFace:
    network = RetinaFace(cfg=cfg_re50, phase="test")
    state = {name.removeprefix("module."): tensor for name, tensor in _read(weights).items()}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise BadInput(f"{weights} does not fit RetinaFace with ResNet-50 ({reason[:200]}): {_how()}") from None
    return network.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def _read(weights: str) -> dict[str, torch.Tensor]:
    try:
        state = (
            load_file(weights)
            if weights.endswith(".safetensors")
            else torch.load(weights, map_location="cpu", weights_only=True)
        )
    except (OSError, RuntimeError, ValueError, EOFError, BadZipFile, SafetensorError, pickle.UnpicklingError) as error:
        raise BadInput(f"{weights} cannot be read ({str(error).splitlines()[0][:200]}): {_how()}") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise BadInput(f"{weights} holds no weights: {_how()}")
    return state


def _how(cached: Path | None = None) -> str:
    place = f" or put it at {cached}" if cached else ""
    return (
        "fetch Resnet50_Final.pth of the project biubug6/Pytorch_Retinaface and name it in the parameter"
        f" 'weights'{place}; the recipe centerface256 needs no weights."
    )
