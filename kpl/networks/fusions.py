"""How three views become one: a fusion takes the pictures and hands features to the head.

forward(pixels (B, 3, RGB, S, S) in 0..1, present (B, 3) bool) -> Features. What a missing view's picture would have
given is replaced by learned values, so it says nothing but that it is missing. Its `width` is D of the vectors.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kpl.cameras import normalised
from kpl.landmarks import COUNT
from kpl.networks import backbones
from kpl.networks.encoders import SHARES, Encoders, Pyramid, as_given, sides_alike, together
from kpl.networks.maps import VIEWS, spatial_softmax

SHALLOW = 8  # channels of a view's shallow layers: they work at full size, where channels are dear


class Features(NamedTuple):
    """What a fusion hands to the head, which answers A times; the answers are averaged over the present views."""

    vectors: Tensor  # (B, A, D), A is 1, or 3 where each view answers for itself
    maps: Tensor | None = None  # (B, 3, 106, H, W) logits of where each 2D landmark is, if it looks for them


class Average(nn.Module):
    """Each view alone, from the last level, as in the official baseline; the three answers are averaged."""

    def __init__(self, backbone: str, image_size: int, share: str, weights: str) -> None:
        super().__init__()
        self.encoders = Encoders(backbone, image_size, share, weights, with_maps=False)
        self.width = self.encoders.channels[-1]

    def forward(self, pixels: Tensor, present: Tensor) -> Features:
        means, _ = self.encoders(pixels)
        return Features(means[-1])


class Late(nn.Module):
    """The views' vectors side by side, from several feature levels, and their 2D landmarks (structure 1 of the
    third-placed team)."""

    def __init__(self, backbone: str, image_size: int, share: str, weights: str) -> None:
        super().__init__()
        self.encoders = Encoders(backbone, image_size, share, weights, with_maps=True)
        self.missing = nn.Parameter(torch.zeros(VIEWS, sum(self.encoders.channels) + COUNT * 2))
        self.width = self.missing.numel()

    def forward(self, pixels: Tensor, present: Tensor) -> Features:
        means, maps = self.encoders(pixels)
        points = normalised(spatial_softmax(maps)).flatten(2)  # (B, 3, 212)
        vectors = torch.where(present[..., None], torch.cat([*means, points], dim=2), self.missing)  # (B, 3, D)
        return Features(vectors.flatten(1)[:, None], maps)


class Early(nn.Module):
    """Parallel shallow layers for each view, merged by a 1 x 1 convolution, and one trunk for all (structure 2 of the
    third-placed team). Mirrored sides stay mirrored, so that what is merged lies about one over the other."""

    def __init__(self, backbone: str, image_size: int, share: str, weights: str) -> None:
        super().__init__()
        self.share = share
        self.shallow = nn.ModuleList(nn.Sequential(*conv(3, SHALLOW), *conv(SHALLOW, SHALLOW)) for _ in SHARES[share])
        self.missing = nn.Parameter(torch.zeros(VIEWS, SHALLOW, 1, 1))
        self.merge = nn.Sequential(*conv(VIEWS * SHALLOW, VIEWS * SHALLOW, kernel=1))
        self.trunk = Pyramid(backbones.create(backbone, image_size, weights, channels=VIEWS * SHALLOW), VIEWS * COUNT)
        self.width = sum(self.trunk.channels) + VIEWS * COUNT * 2

    def forward(self, pixels: Tensor, present: Tensor) -> Features:
        pixels = sides_alike(self.trunk.backbone.standardised(pixels), self.share)
        parts = [layers(pixels[:, group].flatten(0, 1)) for layers, group in zip(self.shallow, SHARES[self.share])]
        seen = torch.where(present[..., None, None, None], together(parts, self.share), self.missing)  # (B, 3, 8, S, S)
        return trunk_features(*self.trunk(self.merge(seen.flatten(1, 2))), self.share)


class Channels9(nn.Module):
    """The three pictures as one of nine channels. `share` means nothing here."""

    def __init__(self, backbone: str, image_size: int, share: str, weights: str) -> None:
        super().__init__()
        self.missing = nn.Parameter(torch.zeros(VIEWS, 3, 1, 1))
        self.trunk = Pyramid(backbones.create(backbone, image_size, weights, channels=VIEWS * 3), VIEWS * COUNT)
        self.width = sum(self.trunk.channels) + VIEWS * COUNT * 2

    def forward(self, pixels: Tensor, present: Tensor) -> Features:
        pixels = torch.where(present[..., None, None, None], self.trunk.backbone.standardised(pixels), self.missing)
        return trunk_features(*self.trunk(pixels.flatten(1, 2)), "all")


def trunk_features(means: list[Tensor], maps: Tensor, share: str) -> Features:
    """Of one trunk's means (B, C) and its maps (B, 3 x 106, H, W)."""
    maps = as_given(maps.unflatten(1, (VIEWS, COUNT)), share)
    points = normalised(spatial_softmax(maps)).flatten(1)
    return Features(torch.cat([*means, points], dim=1)[:, None], maps)


def conv(channels_in: int, channels_out: int, kernel: int = 3) -> list[nn.Module]:
    layer = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False)
    return [layer, nn.BatchNorm2d(channels_out), nn.ReLU()]


FUSIONS = {"average": Average, "late": Late, "early": Early, "channels9": Channels9}
