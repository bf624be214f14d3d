"""How three views become one: a fusion takes the pictures and hands features to the head.

forward(pixels (B, 3, RGB, S, S) in 0..1, present (B, 3) bool) -> Features. What a missing view's picture would have given
is replaced by learned vectors, so a black picture says nothing but that it is missing.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kpl.landmarks import COUNT
from kpl.networks.encoders import VIEWS, Encoders
from kpl.networks.maps import normalised, spatial_softmax


class Features(NamedTuple):
    """What a fusion hands to the head, which answers A times; the answers are averaged over the present views.

    vectors: (B, A, D), A is 1, or 3 where each view answers for itself; levels: feature maps (B, 3 or 1, C, H, W), coarse
    last, [] if not asked for; points: (B, 3, 212) normalised 2D landmarks or None; maps: (B, 3, 106, H, W) logits or None;
    present: (B, 3) bool.
    """

    vectors: Tensor
    levels: list[Tensor]
    points: Tensor | None
    maps: Tensor | None
    present: Tensor


class Average(nn.Module):
    """Each view alone, from the last level, as in the official baseline; the three answers are averaged."""

    finds_points = False

    def __init__(self, backbone: str, image_size: int, share: str, pretrained: bool, with_levels: bool) -> None:
        super().__init__()
        self.encoders = Encoders(backbone, image_size, share, pretrained, with_maps=False, with_levels=with_levels)
        self.channels = self.encoders.channels
        self.width = self.channels[-1]

    def forward(self, pixels: Tensor, present: Tensor) -> Features:
        seen = self.encoders(pixels)
        return Features(seen.means[-1], seen.levels, None, None, present)


class Late(nn.Module):
    """The views' vectors side by side, from several feature levels, and their 2D landmarks (structure 1 of the
    third-placed team)."""

    finds_points = True

    def __init__(self, backbone: str, image_size: int, share: str, pretrained: bool, with_levels: bool) -> None:
        super().__init__()
        self.encoders = Encoders(backbone, image_size, share, pretrained, with_maps=True, with_levels=with_levels)
        self.channels = self.encoders.channels
        view_width = sum(self.channels) + COUNT * 2
        self.missing = nn.Parameter(torch.zeros(VIEWS, view_width))
        self.width = VIEWS * view_width

    def forward(self, pixels: Tensor, present: Tensor) -> Features:
        seen = self.encoders(pixels)
        points = normalised(spatial_softmax(seen.maps)).flatten(2)  # (B, 3, 212)
        vectors = torch.cat([*seen.means, points], dim=2)  # (B, 3, D)
        vectors = torch.where(present[..., None], vectors, self.missing).flatten(1)[:, None]  # (B, 1, 3 D)
        return Features(vectors, seen.levels, points, seen.maps, present)


FUSIONS = {"average": Average, "late": Late}
