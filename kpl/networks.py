"""Networks: three pictures of a face in, 106 landmarks in 3D out. They know nothing of files or training.

views (B, 3, S, S, 3) uint8  -- encoder -->  levels of pooled features and 2D landmark maps of each view
                             -- fusion -->   one vector (late) or three (average)
                             -- head -->     standardised residuals to the mean shape, averaged over the vectors
                             -- lift -->     plus what follows linearly from the 2D landmarks (late)
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kpl import backbones
from kpl.errors import BadInput
from kpl.landmarks import COUNT, MIRROR

VIEWS = 3

# What each fusion hands to the head. "late": the views' vectors side by side, from several feature levels, and their 2D
# landmarks (structure 1 of the third-placed team). "average": each view alone, from the last level, as in the official
# baseline; the three answers are averaged.
FUSIONS = ("late", "average")
# Which views go through one backbone. In "mirrored" and "sides" view 2 is mirrored, so that it looks like view 0.
SHARES = {"all": [[0, 1, 2]], "mirrored": [[0, 1, 2]], "sides": [[0, 2], [1]], "none": [[0], [1], [2]]}
HEADS = ("fc", "linear")
# Standard deviations: early in training the 2D landmarks, and what is lifted from them, are anywhere.
LARGEST_LIFT = 3.0


class Answer(NamedTuple):
    """What a network says. points3d: (B, 106, 3) canonical frame; maps: (B, 3, 106, H, W) logits of where each 2D landmark
    is in each view's crop, None from fusions that look for none."""

    points3d: Tensor
    maps: Tensor | None


class FaceNetwork(nn.Module):
    """A backbone a view (shared or not), a fusion and a head.

    shape_mean, shape_scale: (106, 3) mean and standard deviation of the training shapes; the head's answer is a residual
    in these units. pretrained: start from timm's published weights. Raises BadInput for an unknown name.
    """

    def __init__(
        self,
        backbone: str,
        image_size: int,
        fusion: str,
        share: str,
        head: str,
        dropout: float,
        shape_mean: Tensor,
        shape_scale: Tensor,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        for value, known in ((fusion, FUSIONS), (share, SHARES), (head, HEADS)):
            if value not in known:
                raise BadInput(f"{value!r} is not known to the networks: choose one of {', '.join(known)}.")
        self.fusion, self.share = fusion, share
        finds_points = fusion == "late"
        self.encoders = nn.ModuleList(
            ViewEncoder(backbone, image_size, pretrained, finds_points) for _ in SHARES[share]
        )
        channels = self.encoders[0].channels
        width = VIEWS * (sum(channels) + COUNT * 2) if fusion == "late" else channels[-1]
        self.head = fc_head(width, dropout) if head == "fc" else nn.Linear(width, COUNT * 3)
        if fusion == "late":
            self.register_buffer("lift_weight", torch.zeros(COUNT * 3, VIEWS * COUNT * 2))
            self.register_buffer("lift_bias", torch.zeros(COUNT * 3))
        self.register_buffer("shape_mean", shape_mean.detach().clone().float().contiguous())
        self.register_buffer("shape_scale", shape_scale.detach().clone().float().contiguous())

    def forward(self, views: Tensor) -> Answer:
        """views: (B, 3, S, S, 3) uint8, RGB, upright."""
        levels, maps = self._encode(views)
        if self.fusion == "average":
            residual = self.head(levels[-1]).mean(dim=1)  # (B, 3, C) -> (B, 318)
        else:
            points = normalised(spatial_softmax(maps)).flatten(2)  # (B, 3, 212)
            vectors = torch.cat([*levels, points], dim=2).flatten(1)  # (B, 3 D)
            residual = self.head(vectors) + self._lifted(points)
        return Answer(self.shape_mean + self.shape_scale * residual.unflatten(1, (COUNT, 3)), maps)

    def _lifted(self, points: Tensor) -> Tensor:
        """The residual that follows from the views' points (B, 3, 212); no gradient, or it would bend the 2D landmarks."""
        with torch.autocast(points.device.type, enabled=False):
            lifted = nn.functional.linear(points.detach().float().flatten(1), self.lift_weight, self.lift_bias)
        return lifted.clamp(-LARGEST_LIFT, LARGEST_LIFT)

    def _encode(self, views: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """Levels of pooled features, each (B, 3, C), and 2D landmark maps (B, 3, 106, H, W)."""
        pixels = views.permute(0, 1, 4, 2, 3).float() / 255  # (B, 3, RGB, S, S)
        mirrored = self.share in ("mirrored", "sides")
        if mirrored:
            pixels = torch.cat([pixels[:, :2], pixels[:, 2:].flip(-1)], dim=1)
        groups = SHARES[self.share]
        answers = [
            [
                None if part is None else part.unflatten(0, (-1, len(group)))
                for part in encoder(pixels[:, group].flatten(0, 1))
            ]  # (B g, ...) and back to (B, g, ...)
            for encoder, group in zip(self.encoders, groups)
        ]
        order = torch.argsort(torch.tensor(sum(groups, [])))
        *levels, maps = (None if parts[0] is None else torch.cat(parts, dim=1)[:, order] for parts in zip(*answers))
        if mirrored and maps is not None:
            maps = torch.cat([maps[:, :2], mirrored_back(maps[:, 2:])], dim=1)
        return levels, maps


class ViewEncoder(nn.Module):
    """A timm backbone's feature levels, pooled, and 2D landmark maps from the levels merged as in a feature pyramid's
    top-down path (Lin et al. 2017)."""

    def __init__(self, backbone: str, image_size: int, pretrained: bool, finds_points: bool, width: int = 64) -> None:
        super().__init__()
        self.backbone = backbones.create(backbone, image_size, pretrained)
        self.channels = self.backbone.channels
        self.finds_points = finds_points
        if finds_points:
            self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in self.channels)
            self.maps = nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, COUNT, 1)
            )

    def forward(self, pixels: Tensor) -> list[Tensor | None]:
        """(B, 3, S, S) in 0..1 -> the levels' means (B, C), coarse last, and then the maps (B, 106, H, W) or None."""
        levels = self.backbone(pixels)
        means = [level.mean(dim=(2, 3)) for level in levels]
        return [*means, self._maps(levels) if self.finds_points else None]

    def _maps(self, levels: list[Tensor]) -> Tensor:
        merged = self.lateral[-1](levels[-1])
        for level, lateral in zip(levels[-2::-1], self.lateral[-2::-1]):
            merged = lateral(level) + nn.functional.interpolate(merged, size=level.shape[-2:], mode="nearest")
        return self.maps(merged).float()


def spatial_softmax(maps: Tensor) -> Tensor:
    """The expected position under the softmax of each map. (..., H, W) -> (..., 2) as x, y in 0..1 of the crop.

    Finn et al. 2016; with a loss on it, the "integral regression" of Sun et al. 2018. It needs no 2D target to train.
    """
    height, width = maps.shape[-2:]
    share = maps.flatten(-2).softmax(dim=-1).unflatten(-1, (height, width))
    x = (torch.arange(width, device=maps.device) + 0.5) / width
    y = (torch.arange(height, device=maps.device) + 0.5) / height
    # Products and sums, not a matrix product: mixed precision would round that to two digits.
    return torch.stack([(share.sum(dim=-2) * x).sum(dim=-1), (share.sum(dim=-1) * y).sum(dim=-1)], dim=-1)


def normalised(points2d: Tensor) -> Tensor:
    """Each view's points with centroid 0 and RMS radius 1, so that how a face was cropped does not matter. (..., L, 2)."""
    centred = points2d - points2d.mean(dim=-2, keepdim=True)
    radius = centred.square().sum(dim=-1, keepdim=True).mean(dim=-2, keepdim=True).sqrt()
    return centred / radius.clamp_min(1e-3)


def mirrored_back(maps: Tensor) -> Tensor:
    """Maps (..., 106, H, W) of a mirrored crop as maps of the unmirrored one."""
    return maps[..., MIRROR.tolist(), :, :].flip(-1)


def fc_head(width: int, dropout: float, hidden: int = 512) -> nn.Module:
    """The method's head: three fully connected layers with activation and dropout. (..., width) -> (..., 318).

    The last layer starts at zero, so training starts from the mean shape and the lift.
    """
    last = nn.Linear(hidden, COUNT * 3)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(width, hidden),
        nn.SiLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.SiLU(),
        nn.Dropout(dropout),
        last,
    )
