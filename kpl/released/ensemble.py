"""Released networks as one: crops in; landmarks, a spread for each, their places in the crops, and the cameras out.

A folder of released weights holds a safetensors file for each network, one of shapes, and card.json (see kpl.release), which
says how to build them and how far to trust them. Networks know the rig that they were trained for by heart, but find the
2D landmarks anywhere: where they look for any, shape and cameras are fitted to these (kpl.cameras), which has at the
networks' own rig an error as small, and elsewhere half of it.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kpl import cameras
from kpl.errors import BadInput
from kpl.files import read_json
from kpl.landmarks import COUNT, MIRROR
from kpl.networks import FaceNetwork, load_weights, scatter, spatial_softmax, views_present
from kpl.train import mirror_shape, mirror_views, trained
from kpl.train.augment import resized

RELEASED = Path(__file__).parent
CARD = "card.json"


class Answer(NamedTuple):
    """What is said of B samples. What nobody looks for, and whatever is of a missing view, is NaN."""

    landmarks: np.ndarray  # (B, 106, 3) canonical frame
    spread: np.ndarray  # (B, 106) expected length of each landmark's error, in the same units
    points2d: np.ndarray  # (B, 3, 106, 2) in the crops, crop units
    yaw: np.ndarray  # (B, 3) degrees: where each camera stands, see kpl.cameras.Fit
    pitch: np.ndarray  # (B, 3) degrees
    residual: np.ndarray  # (B, 3) how badly shape and cameras explain the 2D landmarks, in RMS radii of a view's


class Shapes(nn.Module):
    """The mean (106, 3) and the principal components (40, 106, 3) of shapes (N, 106, 3); zero until they are loaded."""

    def __init__(self, known: np.ndarray | None = None) -> None:
        super().__init__()
        parts = np.zeros((1 + cameras.COMPONENTS, COUNT, 3), np.float32)
        if known is not None:
            parts[0], parts[1:] = known.mean(axis=0), cameras.components(known)
        self.register_buffer("mean", torch.from_numpy(parts[0].copy()))
        self.register_buffer("modes", torch.from_numpy(parts[1:].copy()))


class Ensemble(nn.Module):
    """Networks, the card that tells of them, and how shapes scatter."""

    def __init__(self, card: dict[str, Any], networks: Sequence[FaceNetwork]) -> None:
        super().__init__()
        self.card, self.networks = card, nn.ModuleList(networks)
        self.device = networks[0].shape_mean.device
        self.shapes = Shapes()
        self.sizes = [entry["config"]["image_size"] for entry in card["networks"]]
        self.eval()

    def forward(self, *views: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Each network's views (B, 3, S, S, 3) uint8 at its own size -> their mean shape (B, 106, 3), its spread (B, 106),
        2D landmarks (B, 3, 106, 2) and how uncertain these are (B, 3, 106), both in crop units."""
        members, own, places, doubts = [], [], [], []
        for network, entry, seen in zip(self.networks, self.card["networks"], views, strict=True):
            plain, mirrored = network(seen), network(mirror_views(seen))
            members += [plain.points3d.float(), mirror_shape(mirrored.points3d.float())]
            if entry["config"].get("loss") == "gaussian":  # other losses do not teach it
                own.append((2 * plain.log_spread.float()).exp())  # variance in each direction
            if plain.maps is not None:
                places += [spatial_softmax(plain.maps), mirror_places(spatial_softmax(mirrored.maps))]
                doubts.append(scatter(plain.maps))
        missing = ~views_present(views[0])[:, :, None]
        mean = torch.stack(members).mean(dim=0)
        unknown = mean.new_full((mean.shape[0], 3, COUNT), torch.nan)
        points2d = torch.stack(places).mean(dim=0) if places else unknown[..., None].expand(-1, -1, -1, 2)
        doubt = torch.stack(doubts).mean(dim=0) if doubts else unknown
        points2d, doubt = points2d.masked_fill(missing[..., None], torch.nan), doubt.masked_fill(missing, torch.nan)
        return mean, self._spread(torch.stack(members), own), points2d, doubt

    def sized(self, crops: np.ndarray) -> list[Tensor]:
        """Samples' crops (B, 3, S, S, 3) uint8 as `forward` wants them: for each network at its own size."""
        views = ([[resized(view, size) for view in sample] for sample in crops] for size in self.sizes)
        return [torch.from_numpy(np.array(seen)).to(self.device) for seen in views]

    def _spread(self, members: Tensor, own: list[Tensor]) -> Tensor:
        """(B, 106): how far the members (M, B, 106, 3) disagree, joined with what the networks expect of themselves; or,
        where they expect nothing, with the landmark's usual error. Scaled by the factor that held-out errors gave."""
        disagreement = (members - members.mean(dim=0)).square().sum(dim=3).mean(dim=0)
        usual = members.new_tensor(self.card["usual_error"]).square()
        expected = 3 * torch.stack(own).mean(dim=0) if own else usual
        return self.card["calibration"] * (disagreement + expected).sqrt()


def mirror_places(points2d: Tensor) -> Tensor:
    """2D landmarks (B, 3, 106, 2) of mirrored views as they lie in the views themselves; crop units."""
    places = points2d[:, [2, 1, 0]][:, :, MIRROR.tolist()]
    return torch.stack([1 - places[..., 0], places[..., 1]], dim=-1)


def load(weights: str | Path = "released") -> Ensemble:
    """The networks of a folder made by kpl.release, or those that come with the package. Loaded once, then kept. Raises
    BadInput if the folder holds no card, or a file does not fit it."""
    return _load(RELEASED if str(weights) == "released" else Path(weights).resolve())


@cache
def _load(folder: Path) -> Ensemble:
    if not (folder / CARD).is_file():
        raise BadInput(f"{folder} holds no released weights ({CARD}): make them with python -m kpl.release.")
    card = read_json(folder / CARD)
    ensemble = Ensemble(card, [trained(folder, one["config"], one["file"]) for one in card["networks"]])
    if "shapes" in card:
        load_weights(ensemble.shapes, str(folder / card["shapes"]["file"]))
    return ensemble


def released_file() -> Path:
    """The first network's weights of those that come with the package: to start a training from."""
    return RELEASED / read_json(RELEASED / CARD)["networks"][0]["file"]


@torch.inference_mode()
def answer(ensemble: Ensemble, crops: np.ndarray) -> Answer:
    """What is said of samples' crops (B, 3, S, S, 3) uint8; a black view is a missing one. The landmarks are the shape that is
    fitted to the networks' 2D landmarks, or, where they look for none, the mean of the networks' own."""
    mean, spread, points2d, doubt = ensemble(*ensemble.sized(crops))
    present = points2d.isfinite().all(dim=3).all(dim=2)
    unknown = torch.full_like(doubt[..., 0], torch.nan)
    found = mean, spread, points2d, unknown, unknown, unknown
    if "shapes" in ensemble.card:
        fit = cameras.fit(points2d, doubt, present, ensemble.shapes.mean, ensemble.shapes.modes)
        center, more = ensemble.shapes.mean.double().cpu(), ensemble.card["shapes"]
        # The prior makes shapes timid, and what is badly explained is badly known.
        times = (fit.residual / more["residual"]).square().nanmean(dim=1).nan_to_num(1.0)  # of a sample without a view
        worse = (times / 2 + 0.5).sqrt()
        landmarks = center + more["gain"] * (fit.shapes - center)
        found = landmarks, spread.double().cpu() * worse[:, None], points2d, fit.yaw, fit.pitch, fit.residual
    return Answer(*(part.double().cpu().numpy() for part in found))
