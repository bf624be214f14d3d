"""The whole network.

views (B, 3, S, S, 3) uint8  -- fusion -->   features: one vector, or one a view; feature maps; 2D landmarks of each view
                             -- head -->     standardised residuals to the mean shape, averaged over the vectors
                             -- lift -->     plus what follows linearly from the 2D landmarks, where a fusion finds them
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kpl.landmarks import COUNT
from kpl.networks.fusions import FUSIONS
from kpl.networks.heads import ATTENDING, HEADS, Spread
from kpl.networks.maps import SUBSETS, LinearLift

UNKNOWN = torch.zeros(COUNT, 3)


class Answer(NamedTuple):
    """What a network says."""

    points3d: Tensor  # (B, 106, 3) canonical frame
    maps: Tensor | None  # (B, 3, 106, H, W) logits of where each landmark is in each crop, if the fusion looks for it
    log_spread: Tensor  # (B, 106) logarithm of the deviation of an error in each direction, canonical units


class FaceNetwork(nn.Module):
    """A fusion of the views' features, a head, how far off each landmark may be, and the lift.

    fusion, head: made by FUSIONS and HEADS. shape_mean, shape_scale: (106, 3) mean and standard deviation of the
    training shapes; the head's answer is a residual in these units. view_dropout: how likely a sample in training loses
    one or two of its views. A view that is black all over is missing: the others answer without it.
    """

    def __init__(
        self, fusion: nn.Module, head: nn.Module, shape_mean: Tensor, shape_scale: Tensor, view_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.fusion, self.head = fusion, head
        self.view_dropout = view_dropout
        self.spread = Spread(fusion.width)
        self.lift = LinearLift() if fusion.finds_points else None
        self.register_buffer("shape_mean", shape_mean.detach().clone().float().contiguous())
        self.register_buffer("shape_scale", shape_scale.detach().clone().float().contiguous())

    def forward(self, views: Tensor) -> Answer:
        """views: (B, 3, S, S, 3) uint8, RGB, upright."""
        present = views_present(views)
        if self.training and self.view_dropout > 0:
            present = without_some(present, self.view_dropout)
        pixels = views.permute(0, 1, 4, 2, 3).float() / 255  # (B, 3, RGB, S, S)
        features = self.fusion(pixels, present)
        residual = mean_answer(self.head(features), present).float()  # (B, A, 106, 3) -> (B, 106, 3)
        if self.lift is not None:
            residual = residual + self.lift(features.points, present)
        spread = mean_answer(self.spread(features), present).float() + self.shape_scale.mean(dim=1).log()
        return Answer(self.shape_mean + self.shape_scale * residual, features.maps, spread)


def create(
    backbone: str,
    image_size: int,
    fusion: str,
    share: str,
    head: str,
    dropout: float,
    shape_mean: Tensor = UNKNOWN,
    shape_scale: Tensor = UNKNOWN,
    view_dropout: float = 0.0,
) -> FaceNetwork:
    """The untrained network of a run's parameters; shapes, if not given, come with the weights that are loaded into it.
    Raises BadInput for what the backbone cannot do."""
    fused = FUSIONS[fusion](backbone, image_size, share, "none", with_levels=head in ATTENDING)
    return FaceNetwork(fused, HEADS[head](fused.width, fused.channels, dropout), shape_mean, shape_scale, view_dropout)


def views_present(views: Tensor) -> Tensor:
    """(B, 3) bool: which of the views (B, 3, S, S, 3) are not black all over, that is, not missing."""
    return views.flatten(2).amax(dim=2) > 0


def without_some(present: Tensor, chance: float) -> Tensor:
    """`present` (B, 3) after one or two views were lost with a `chance`, which ones evenly; never the last one. Drawn
    with torch's global generator on the CPU, so that a run draws the same on any device."""
    left = torch.tensor(SUBSETS[:-1])[torch.randint(len(SUBSETS) - 1, (len(present),))]  # (B, 3), one or two views each
    left |= torch.rand(len(present), 1) >= chance
    remaining = present & left.to(present.device)
    return torch.where(remaining.any(dim=1, keepdim=True), remaining, present)


def mean_answer(answers: Tensor, present: Tensor) -> Tensor:
    """Answers (B, A, ...): the only one, or the mean over the views that are present (B, 3); zero if there is none."""
    if answers.shape[1] == 1:
        return answers[:, 0]
    weight = present / present.sum(dim=1, keepdim=True).clamp_min(1)  # (B, 3)
    # Products and sums, not a matrix product: mixed precision would round that.
    return (answers.float().flatten(2) * weight[..., None]).sum(dim=1).unflatten(1, answers.shape[2:])
