"""Released networks as one: crops in; landmarks, a spread for each, and the landmarks' places in the crops out.

A folder of released weights holds a safetensors file for each network and card.json (see kpl.release), which says how
to build them and how far to trust them.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kpl.errors import BadInput
from kpl.files import read_json
from kpl.landmarks import COUNT
from kpl.networks import FaceNetwork, load_weights, spatial_softmax, views_present
from kpl.released.correction import Correction
from kpl.train import mirror_shape, mirror_views, trained
from kpl.train.augment import resized

RELEASED = Path(__file__).parent
CARD = "card.json"


class Ensemble(nn.Module):
    """Networks, the card that tells of them, and what corrects their mean."""

    def __init__(self, card: dict[str, Any], networks: Sequence[FaceNetwork]) -> None:
        super().__init__()
        self.card, self.networks = card, nn.ModuleList(networks)
        self.device = networks[0].shape_mean.device
        self.correction = Correction().to(self.device)
        self.sizes = [entry["config"]["image_size"] for entry in card["networks"]]
        self.eval()

    def forward(self, *views: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Each network's views (B, 3, S, S, 3) uint8 at its own size -> what `answer` returns, as tensors."""
        members, own, places = [], [], []
        for network, entry, seen in zip(self.networks, self.card["networks"], views, strict=True):
            plain, mirrored = network(seen), network(mirror_views(seen))
            members += [plain.points3d.float(), mirror_shape(mirrored.points3d.float())]
            if entry["config"].get("loss") == "gaussian":  # other losses do not teach it
                own.append((2 * plain.log_spread.float()).exp())  # variance in each direction
            if plain.maps is not None:
                places.append(spatial_softmax(plain.maps))
        present = views_present(views[0])
        mean = torch.stack(members).mean(dim=0)
        points2d = torch.stack(places).mean(dim=0) if places else mean.new_full((mean.shape[0], 3, COUNT, 2), torch.nan)
        points2d = torch.where(present[:, :, None, None], points2d, torch.nan)
        return self.correction(mean, present), self._spread(torch.stack(members), own), points2d

    def _spread(self, members: Tensor, own: list[Tensor]) -> Tensor:
        """(B, 106): how far the members (M, B, 106, 3) disagree, joined with what the networks expect of themselves; or,
        where they expect nothing, with the landmark's usual error. Scaled by the factor that held-out errors gave."""
        disagreement = (members - members.mean(dim=0)).square().sum(dim=3).mean(dim=0)
        usual = members.new_tensor(self.card["usual_error"]).square()
        expected = 3 * torch.stack(own).mean(dim=0) if own else usual
        return self.card["calibration"] * (disagreement + expected).sqrt()


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
    if "correction" in card:
        load_weights(ensemble.correction, str(folder / card["correction"]["file"]))
    return ensemble


def released_file() -> Path:
    """The first network's weights of those that come with the package: to start a training from."""
    return RELEASED / read_json(RELEASED / CARD)["networks"][0]["file"]


@torch.inference_mode()
def answer(ensemble: Ensemble, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the networks say of samples' crops (B, 3, S, S, 3) uint8; a black view is a missing one.

    Returns canonical landmarks (B, 106, 3), the mean over networks and mirrored copies, corrected if there is a
    correction; their spread (B, 106): the expected length of the error, canonical units; and the landmarks in the crops
    (B, 3, 106, 2), crop units, NaN where no network looks for them or a view is missing.
    """
    views = [np.array([[resized(view, size) for view in sample] for sample in crops]) for size in ensemble.sizes]
    found = ensemble(*(torch.from_numpy(seen).to(ensemble.device) for seen in views))
    return tuple(part.double().cpu().numpy() for part in found)
