"""From pictures to feature levels and 2D landmark maps, view by view; views may share an encoder, also by mirroring."""

import torch
from torch import Tensor, nn

from kpl.landmarks import COUNT, MIRROR
from kpl.networks import backbones

# Which views go through one encoder. In "mirrored" and "sides" view 2 is mirrored, so that it looks like view 0.
SHARES = {"all": [[0, 1, 2]], "mirrored": [[0, 1, 2]], "sides": [[0, 2], [1]], "none": [[0], [1], [2]]}
MIRRORED = ("mirrored", "sides")


class Encoders(nn.Module):
    """One Pyramid for each group of views that share. with_maps: look for 2D landmarks."""

    def __init__(self, backbone: str, image_size: int, share: str, weights: str, with_maps: bool) -> None:
        super().__init__()
        self.share = share
        made = (backbones.create(backbone, image_size, weights) for _ in SHARES[share])
        self.encoders = nn.ModuleList(Pyramid(one, COUNT * with_maps) for one in made)
        self.channels = self.encoders[0].channels

    def forward(self, pixels: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """(B, 3, RGB, S, S) in 0..1 -> the levels' pooled features, each (B, 3, C), coarse last; logits (B, 3, 106, H, W)
        of where each 2D landmark is, or None."""
        share, pixels = self.share, sides_alike(pixels, self.share)
        pixels = self.encoders[0].backbone.standardised(pixels)
        parts = [encoder(pixels[:, group].flatten(0, 1)) for encoder, group in zip(self.encoders, SHARES[share])]
        means, maps = (list(part) for part in zip(*parts))  # for each group
        means = [together(level, share) for level in zip(*means)]
        return means, None if maps[0] is None else as_given(together(maps, share), share)


class Pyramid(nn.Module):
    """A timm backbone's feature levels, pooled, and so many 2D landmark maps from the levels merged as in a feature pyramid's
    top-down path (Lin et al. 2017)."""

    def __init__(self, backbone: backbones.Backbone, landmarks: int, width: int = 64) -> None:
        super().__init__()
        self.backbone, self.channels, self.landmarks = backbone, backbone.channels, landmarks
        if landmarks:
            self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in self.channels)
            self.neck = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
            self.maps = nn.Conv2d(width, landmarks, 1)

    def forward(self, inputs: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """(B, C, S, S), standardised -> the levels' means (B, C), coarse last, and maps (B, `landmarks`, H, W) or None."""
        levels = self.backbone(inputs)
        means = [level.mean(dim=(2, 3)) for level in levels]
        if not self.landmarks:
            return means, None
        merged = self.lateral[-1](levels[-1])
        for level, lateral in zip(levels[-2::-1], self.lateral[-2::-1]):
            merged = lateral(level) + nn.functional.interpolate(merged, size=level.shape[-2:], mode="nearest")
        return means, self.maps(self.neck(merged)).float()


def sides_alike(pictures: Tensor, share: str) -> Tensor:
    """(B, 3, ..., W) with view 2 mirrored if `share` says so; its own inverse."""
    return torch.cat([pictures[:, :2], pictures[:, 2:].flip(-1)], dim=1) if share in MIRRORED else pictures


def as_given(maps: Tensor, share: str) -> Tensor:
    """Maps (B, 3, 106, H, W) of `sides_alike` pictures as of those given: a mirrored face's landmarks have their partners' names."""
    maps = sides_alike(maps, share)
    return torch.cat([maps[:, :2], maps[:, 2:, MIRROR.tolist()]], dim=1) if share in MIRRORED else maps


def together(parts: list[Tensor], share: str) -> Tensor:
    """What each group of views gave, (B g, ...), as one (B, 3, ...) in the views' order."""
    groups = SHARES[share]
    joined = torch.cat([part.unflatten(0, (-1, len(group))) for part, group in zip(parts, groups)], dim=1)
    order = [view for group in groups for view in group]
    return joined if order == sorted(order) else joined[:, torch.argsort(torch.tensor(order))]
