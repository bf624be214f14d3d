"""Released networks as one: crops in; landmarks, a spread for each, and the landmarks' places in the crops out.

A folder of released weights holds a safetensors file for each network and card.json (see kpl.release), which says how
to build them and how far to trust them.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from kpl import correction
from kpl.correction import Correction
from kpl.errors import BadInput
from kpl.files import read_json
from kpl.networks import FaceNetwork, spatial_softmax, views_present
from kpl.training import build
from kpl.training.inference import mirror_shape, mirror_views

RELEASED = Path(__file__).with_name("released")


@dataclass(frozen=True)
class Ensemble:
    """Networks with the sizes of their pictures, and their card."""

    networks: tuple[FaceNetwork, ...]
    sizes: tuple[int, ...]  # pixels
    card: dict[str, Any]
    correction: Correction | None = None


def load(weights: str | Path = "released") -> Ensemble:
    """The networks of a folder made by kpl.release, or those that come with the package. Loaded once, then kept.

    Raises BadInput if the folder holds no card, or a file does not fit it.
    """
    return _load(RELEASED if str(weights) == "released" else Path(weights).resolve())


def released_file() -> Path:
    """The first network's weights of those that come with the package: to start a training from."""
    return RELEASED / _card(RELEASED)["networks"][0]["file"]


@cache
def _load(folder: Path) -> Ensemble:
    return assemble(folder, _card(folder))


def _card(folder: Path) -> dict[str, Any]:
    if not (folder / "card.json").is_file():
        raise BadInput(f"{folder} holds no released weights (card.json): make them with python -m kpl.release.")
    return read_json(folder / "card.json")


def assemble(folder: Path, card: dict[str, Any]) -> Ensemble:
    """The networks, and the correction if there is one, that a card tells of."""
    networks = tuple(build.trained(folder, entry["config"], entry["file"]).eval() for entry in card["networks"])
    sizes = tuple(entry["config"]["image_size"] for entry in card["networks"])
    found = correction.load(folder / card["correction"]["file"]) if "correction" in card else None
    if found:
        found = tuple(part.to(networks[0].shape_mean.device) for part in found)
    return Ensemble(networks, sizes, card, found)


@torch.inference_mode()
def answer(ensemble: Ensemble, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the networks say of samples' crops (B, 3, S, S, 3) uint8; a black view is a missing one.

    Returns canonical landmarks (B, 106, 3), the mean over networks and mirrored copies, corrected if there is a
    correction; their spread (B, 106): the expected length of the error, canonical units; and the landmarks in the crops
    (B, 3, 106, 2), crop units, NaN where no network looks for them or a view is missing.
    """
    members, own, places = [], [], []
    for network, size, entry in zip(ensemble.networks, ensemble.sizes, ensemble.card["networks"]):
        views = torch.from_numpy(resized(crops, size)).to(network.shape_mean.device)
        plain, mirrored = network(views), network(mirror_views(views))
        members += [plain.points3d.float(), mirror_shape(mirrored.points3d.float())]
        if entry["config"].get("loss") == "gaussian":  # other losses do not teach it
            own.append((2 * plain.log_spread.float()).exp())  # variance in each direction
        if plain.maps is not None:
            places.append(spatial_softmax(plain.maps))
    landmarks = torch.stack(members).mean(dim=0)
    if ensemble.correction:
        landmarks = correction.apply(ensemble.correction, landmarks, views)
    spread = _spread(torch.stack(members), own, ensemble.card)
    points2d = torch.stack(places).mean(dim=0) if places else torch.full((len(crops), 3, landmarks.shape[1], 2), np.nan)
    missing = ~views_present(torch.from_numpy(crops)).numpy()
    return _array(landmarks), _array(spread), np.where(missing[:, :, None, None], np.nan, _array(points2d))


def _spread(members: Tensor, own: list[Tensor], card: dict[str, Any]) -> Tensor:
    """(B, 106): how far the members (M, B, 106, 3) disagree, joined with what the networks expect of themselves; or,
    where they expect nothing, with the landmark's usual error. Scaled by the factor that held-out errors gave."""
    disagreement = (members - members.mean(dim=0)).square().sum(dim=3).mean(dim=0)
    expected = 3 * torch.stack(own).mean(dim=0) if own else members.new_tensor(card["usual_error"]).square()
    return card["calibration"] * (disagreement + expected).sqrt()


def resized(crops: np.ndarray, size: int) -> np.ndarray:
    """Crops (B, 3, S, S, 3) at `size` pixels: (B, 3, size, size, 3)."""
    if crops.shape[2] == size:
        return np.ascontiguousarray(crops)
    how = cv2.INTER_AREA if size < crops.shape[2] else cv2.INTER_CUBIC
    views = [cv2.resize(view, (size, size), interpolation=how) for sample in crops for view in sample]
    return np.stack(views).reshape(*crops.shape[:2], size, size, 3)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.double().cpu().numpy()
