"""Networks: three pictures of a face in, 106 landmarks in 3D out. They know nothing of files or training.

    views (B, 3, S, S, 3) uint8  -- encoder -->  levels of feature maps a view
                                 -- pool, spatial softmax -->  one vector a view, 2D landmarks a view
                                 -- fusion -->  one vector (late) or three (average)
                                 -- head -->  standardised residuals to the mean shape, averaged over the vectors
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kpl import backbones
from kpl.errors import BadInput
from kpl.landmarks import COUNT, MIRROR

VIEWS = 3

# What each fusion hands to the head. "late": the views' vectors side by side, from several feature levels (structure 1
# of the third-placed team). "average": each view alone, from the last level, as in the official baseline; the three
# answers are averaged.
FUSIONS = ("late", "average")
# Which views go through the same backbone: all, none, or the two sides (view 2 mirrored onto view 0).
SHARES = ("all", "none", "sides")
HEADS = ("fc", "linear")


class Answer(NamedTuple):
    """points3d: (B, 106, 3) canonical frame; points2d: (B, 3, 106, 2) crop units, 0..1 of the crop's side, y down;
    None from fusions that look for no 2D landmarks."""

    points3d: Tensor
    points2d: Tensor | None


class FaceNetwork(nn.Module):
    """A backbone a view (shared or not), a fusion and a head.

    shape_mean, shape_scale: (106, 3) mean and standard deviation of the training shapes; the head's answer is a residual
    in these units. pretrained: start from timm's published weights. Raises BadInput for an unknown name.
    """

    def __init__(self, backbone: str, image_size: int, fusion: str, share: str, head: str, dropout: float,
                 shape_mean: Tensor, shape_scale: Tensor, pretrained: bool = False) -> None:
        super().__init__()
        for value, known in ((fusion, FUSIONS), (share, SHARES), (head, HEADS)):
            if value not in known:
                raise BadInput(f"{value!r} is not known to the networks: choose one of {', '.join(known)}.")
        self.fusion, self.share = fusion, share
        copies = {"all": 1, "sides": 2, "none": 3}[share]
        finds_points = fusion == "late"
        self.encoders = nn.ModuleList(ViewEncoder(backbone, image_size, pretrained, finds_points) for _ in range(copies))
        channels = self.encoders[0].channels
        width = VIEWS * (sum(channels) + COUNT * 2) if fusion == "late" else channels[-1]
        self.head = fc_head(width, dropout) if head == "fc" else nn.Linear(width, COUNT * 3)
        self.register_buffer("shape_mean", shape_mean.float().clone(memory_format=torch.contiguous_format))
        self.register_buffer("shape_scale", shape_scale.float().clone(memory_format=torch.contiguous_format))

    def forward(self, views: Tensor) -> Answer:
        """views: (B, 3, S, S, 3) uint8, RGB, upright."""
        levels, points2d = self._encode(views)
        if self.fusion == "late":
            vectors = torch.cat([*levels, normalised(points2d).flatten(2)], dim=2)  # (B, 3, D)
            vectors = vectors.flatten(1)[:, None]  # (B, 1, 3 D)
        else:
            vectors = levels[-1]  # (B, 3, D)
        residual = self.head(vectors).mean(dim=1).unflatten(1, (COUNT, 3))  # (B, 106, 3)
        return Answer(self.shape_mean + self.shape_scale * residual, points2d)

    def _encode(self, views: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """Levels of pooled features, each (B, 3, C), and 2D landmarks (B, 3, 106, 2)."""
        pixels = views.permute(0, 1, 4, 2, 3).float() / 255  # (B, 3, RGB, S, S)
        if self.share == "all":
            found = self.encoders[0](pixels.flatten(0, 1))  # (3 B, ...)
            *levels, points = (part if part is None else part.unflatten(0, (-1, VIEWS)) for part in found)
            return levels, points
        if self.share == "none":
            answers = [encoder(pixels[:, view]) for view, encoder in enumerate(self.encoders)]
        else:
            sides, middle = self.encoders
            *levels, points = sides(pixels[:, 2].flip(-1))
            answers = [sides(pixels[:, 0]), middle(pixels[:, 1]), [*levels, mirrored_back(points)]]
        *levels, points = (None if parts[0] is None else torch.stack(parts, dim=1) for parts in zip(*answers))
        return levels, points


class ViewEncoder(nn.Module):
    """A timm backbone's feature levels, pooled, and 2D landmarks by spatial softmax on the merged levels.

    The merging is a feature pyramid's top-down path (Lin et al. 2017); the spatial softmax (Finn et al. 2016, "integral
    regression" of Sun et al. 2018) turns each map into one point, so it trains with or without 2D targets.
    """

    def __init__(self, backbone: str, image_size: int, pretrained: bool, finds_points: bool, width: int = 64) -> None:
        super().__init__()
        self.backbone = backbones.create(backbone, image_size, pretrained)
        self.channels = self.backbone.channels
        self.finds_points = finds_points
        if finds_points:
            self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in self.channels)
            self.maps = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
                                      nn.Conv2d(width, COUNT, 1))

    def forward(self, pixels: Tensor) -> list[Tensor | None]:
        """(B, 3, S, S) in 0..1 -> the levels' means (B, C), coarse last, and then the points (B, 106, 2) or None."""
        levels = self.backbone(pixels)
        means = [level.mean(dim=(2, 3)) for level in levels]
        return [*means, self._points(levels) if self.finds_points else None]

    def _points(self, levels: list[Tensor]) -> Tensor:
        merged = self.lateral[-1](levels[-1])
        for level, lateral in zip(levels[-2::-1], self.lateral[-2::-1]):
            merged = lateral(level) + nn.functional.interpolate(merged, size=level.shape[-2:], mode="nearest")
        return spatial_softmax(self.maps(merged))


def spatial_softmax(maps: Tensor) -> Tensor:
    """The expected position under the softmax of each map. (B, L, H, W) -> (B, L, 2) as x, y in 0..1."""
    height, width = maps.shape[-2:]
    share = maps.float().flatten(2).softmax(dim=2).unflatten(2, (height, width))
    x = (torch.arange(width, device=maps.device) + 0.5) / width
    y = (torch.arange(height, device=maps.device) + 0.5) / height
    return torch.stack([share.sum(dim=2) @ x, share.sum(dim=3) @ y], dim=2)


def normalised(points2d: Tensor) -> Tensor:
    """Each view's points with centroid 0 and RMS radius 1, so that how a face was cropped does not matter. (..., L, 2)."""
    centred = points2d - points2d.mean(dim=-2, keepdim=True)
    radius = centred.square().sum(dim=-1, keepdim=True).mean(dim=-2, keepdim=True).sqrt()
    return centred / radius.clamp_min(1e-3)


def mirrored_back(points: Tensor | None) -> Tensor | None:
    """Points (B, 106, 2) found in a mirrored crop, in the unmirrored crop's units."""
    return None if points is None else points[:, MIRROR.tolist()] * points.new_tensor([-1.0, 1.0]) + points.new_tensor([1.0, 0.0])


def fc_head(width: int, dropout: float, hidden: int = 512) -> nn.Module:
    """The method's head: three fully connected layers with activation and dropout. (..., width) -> (..., 318)."""
    return nn.Sequential(nn.Linear(width, hidden), nn.SiLU(), nn.Dropout(dropout),
                         nn.Linear(hidden, hidden), nn.SiLU(), nn.Dropout(dropout),
                         nn.Linear(hidden, COUNT * 3))
