"""Networks: three pictures of a face in, 106 landmarks in 3D out. They know nothing of files or training.

views (B, 3, S, S, 3) uint8  -- fusion -->   features: one vector, or one a view; feature maps; 2D landmarks of each view
                             -- head -->     standardised residuals to the mean shape, averaged over the vectors
                             -- lift -->     plus what follows linearly from the 2D landmarks, where a fusion finds them
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kpl.errors import BadInput
from kpl.networks.encoders import SHARES
from kpl.networks.fusions import FUSIONS
from kpl.networks.heads import ATTENDING, HEADS, Spread
from kpl.networks.maps import LARGEST_LIFT, SUBSETS, LinearLift, normalised, spatial_softmax

__all__ = [
    "FUSIONS",
    "HEADS",
    "LARGEST_LIFT",
    "SHARES",
    "SUBSETS",
    "Answer",
    "FaceNetwork",
    "LinearLift",
    "normalised",
    "spatial_softmax",
]


class Answer(NamedTuple):
    """What a network says. points3d: (B, 106, 3) canonical frame; log_spread: (B, 106) logarithm of the standard
    deviation of each landmark's error in each direction, canonical units; maps: (B, 3, 106, H, W) logits of where each
    2D landmark is in each view's crop, None from fusions that look for none."""

    points3d: Tensor
    maps: Tensor | None
    log_spread: Tensor


class FaceNetwork(nn.Module):
    """A fusion of the views' features, and a head.

    shape_mean, shape_scale: (106, 3) mean and standard deviation of the training shapes; the head's answer is a
    residual in these units. pretrained: start from timm's published weights. view_dropout: how likely a sample in
    training loses one or two of its views. A view that is black all over is missing: the others answer without it.
    Raises BadInput for an unknown name.
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
        view_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for value, known in ((fusion, FUSIONS), (share, SHARES), (head, HEADS)):
            if value not in known:
                raise BadInput(f"{value!r} is not known to the networks: choose one of {', '.join(known)}.")
        self.view_dropout = view_dropout
        self.fusion = FUSIONS[fusion](backbone, image_size, share, pretrained, with_levels=head in ATTENDING)
        self.head = HEADS[head](self.fusion.width, self.fusion.channels, dropout)
        self.spread = Spread(self.fusion.width)
        self.lift = LinearLift() if self.fusion.finds_points else None
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


def views_present(views: Tensor) -> Tensor:
    """(B, 3) bool: which of the views (B, 3, S, S, 3) are not black all over, that is, not missing."""
    return views.flatten(2).amax(dim=2) > 0


def without_some(present: Tensor, chance: float) -> Tensor:
    """`present` (B, 3) after one or two views were lost with a `chance`, which ones evenly; never the last one.

    Drawn with torch's global generator on the CPU, so that a run draws the same on any device.
    """
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
