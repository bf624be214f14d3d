"""Released networks as one: crops in; landmarks, a spread for each, their places in the crops, and the cameras out.

A folder of released weights holds a safetensors file for each network, and card.json (see kpl.release), which says how to
build them and how far to trust them.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kpl.errors import BadInput
from kpl.files import read_json
from kpl.landmarks import COUNT
from kpl.networks import FaceNetwork
from kpl.train import Look, fit_cameras, look, trained
from kpl.train.augment import resized

RELEASED = Path(__file__).parent
CARD = "card.json"
MIDDLE = 0.5  # of what the middle view leaves unexplained more than the others is added: another's face sticks out there
BY_FIT = 0.5  # power by which errors grow with the fit's spread; they do in proportion to what is unexplained and doubted


class Answer(NamedTuple):
    """What is said of B samples. What nobody looks for, and whatever is of a missing view, is NaN."""

    landmarks: np.ndarray  # (B, 106, 3) canonical frame
    spread: np.ndarray  # (B, 106) expected length of each landmark's error, in the same units
    points2d: np.ndarray  # (B, 3, 106, 2) in the crops, crop units
    doubt: np.ndarray  # (B, 3) how wide the landmarks' maps are, crop units
    yaw: np.ndarray  # (B, 3) degrees: where each camera stands, see kpl.cameras.Fit
    pitch: np.ndarray  # (B, 3) degrees
    residual: np.ndarray  # (B, 3, 106) how badly shape and cameras explain each 2D landmark, for its doubt: 1 is as usual
    unlike: np.ndarray  # (B,) how badly the views fit together: the mean, and more where the middle one is unlike both others


class Ensemble(nn.Module):
    """Networks, and the card that tells of them."""

    def __init__(self, card: dict[str, Any], networks: Sequence[FaceNetwork]) -> None:
        super().__init__()
        self.card, self.networks = card, nn.ModuleList(networks)
        self.device = networks[0].shape_mean.device
        self.taught = [bool(network.shape_modes.any()) for network in networks]  # to find 2D landmarks
        self.sizes = [entry["config"]["image_size"] for entry in card["networks"]]
        self.eval()

    def forward(self, *views: Tensor) -> Look:
        """Each network's views (B, 3, S, S, 3) uint8 at its own size -> the mean of what they see; of the 2D landmarks, the
        mean over those that look for them."""
        looks = [look(network, seen) for network, seen in zip(self.networks, views, strict=True)]
        finding = [one for one, taught in zip(looks, self.taught) if taught] or looks
        points3d, points2d, doubt = (torch.stack(parts).mean(dim=0) for parts in zip(*looks))
        _, points2d, doubt = (torch.stack(parts).mean(dim=0) for parts in zip(*finding))
        return Look(points3d, points2d, doubt)

    def sized(self, crops: np.ndarray) -> list[Tensor]:
        """Samples' crops (B, 3, S, S, 3) uint8 as `forward` wants them: for each network at its own size."""
        views = ([[resized(view, size) for view in sample] for sample in crops] for size in self.sizes)
        return [torch.from_numpy(np.array(seen)).to(self.device) for seen in views]


def load(weights: str | Path = "released") -> Ensemble:
    """The networks of a folder made by kpl.release, or those that come with the package. Loaded once, then kept. Raises
    BadInput if the folder holds no card, or a file does not fit it."""
    return _load(RELEASED if str(weights) == "released" else Path(weights).resolve())


@cache
def _load(folder: Path) -> Ensemble:
    if not (folder / CARD).is_file():
        raise BadInput(f"{folder} holds no released weights ({CARD}): make them with python -m kpl.release.")
    card = read_json(folder / CARD)
    return Ensemble(card, [trained(folder, one["config"], one["file"]) for one in card["networks"]])


def released_file() -> Path:
    """The first network's weights of those that come with the package: to start a training from."""
    return RELEASED / read_json(RELEASED / CARD)["networks"][0]["file"]


@torch.inference_mode()
def answer(ensemble: Ensemble, crops: np.ndarray) -> Answer:
    """What is said of samples' crops (B, 3, S, S, 3) uint8; a black view is a missing one. The landmarks are the shape that is
    fitted to the networks' 2D landmarks, or, where they look for none, the mean of the networks' own.

    The spread of a fitted shape grows as the fit's own does (with fewer views), with what shape and cameras leave unexplained,
    and with how wide the landmarks' maps are; the card knows what each is usually, and each landmark's error.
    """
    seen = Look(*ensemble(*ensemble.sized(crops)))
    fit, usual = fit_cameras(seen, ensemble.networks[0].shapes), ensemble.card["usual"]
    doubt = seen.doubt.median(dim=2).values.cpu()  # a border that cuts the face does not move it
    if fit is None:
        unknown = torch.full(seen.points2d.shape[:3], torch.nan)
        of_view = unknown[..., 0]
        found = seen.points3d, torch.ones(len(crops), COUNT), seen.points2d, doubt, of_view, of_view, unknown, of_view[:, 0]
    else:
        residual = fit.residual / torch.tensor(usual["residual"])
        of_view = residual.mean(dim=2)
        apart = (of_view[:, 1] - of_view[:, [0, 2]].nanmean(dim=1)).nan_to_num().clamp_min(0)
        unlike = of_view.nanmean(dim=1) + MIDDLE * apart
        worse = torch.stack([of_view, doubt / usual["doubt"]]).square().nanmean(dim=(0, 2)).nan_to_num(1.0).sqrt()
        spread = fit.spread**BY_FIT * worse[:, None]
        found = fit.shapes, spread, fit.points2d, doubt, fit.yaw, fit.pitch, residual, unlike
    landmarks, spread, *others = (part.double().cpu().numpy() for part in found)
    return Answer(landmarks, spread * usual["error"], *others)
