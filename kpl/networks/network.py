"""The whole network.

views (B, 3, S, S, 3) uint8  -- fusion -->   features: one vector, or one a view; feature maps; 2D landmarks of each view
                             -- head -->     standardised residuals to the mean shape, averaged over the vectors

Where it finds 2D landmarks, the better answer is the shape that is fitted to these (kpl.cameras); the network holds what that
needs to know of shapes.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kpl.cameras import Shapes
from kpl.landmarks import COUNT
from kpl.networks.fusions import FUSIONS
from kpl.networks.heads import HEADS
from kpl.networks.maps import SUBSETS

UNKNOWN = Shapes(torch.zeros(COUNT, 3), torch.zeros(COUNT, 3))


class Answer(NamedTuple):
    """What a network says."""

    points3d: Tensor  # (B, 106, 3) canonical frame
    maps: Tensor | None  # (B, 3, 106, H, W) logits of where each landmark is in each crop, if the fusion looks for it


class FaceNetwork(nn.Module):
    """A fusion of the views' features and a head.

    fusion, head: made by FUSIONS and HEADS. shapes: of the training; the head's answer is a residual to their mean in units
    of their scale, and modes that are zero say that the 2D landmarks are not taught, so that no shape is fitted to them.
    view_dropout: how likely a sample in training loses one or two of its views. A view that is black all over is missing:
    the others answer without it.
    """

    def __init__(self, fusion: nn.Module, head: nn.Module, shapes: Shapes, view_dropout: float = 0.0) -> None:
        super().__init__()
        self.fusion, self.head = fusion, head
        self.view_dropout = view_dropout
        for name, part in shapes._asdict().items():
            self.register_buffer(f"shape_{name}", part.detach().clone().float().contiguous())

    @property
    def shapes(self) -> Shapes:
        """As given, on the network's device."""
        return Shapes(self.shape_mean, self.shape_scale, self.shape_modes)

    def forward(self, views: Tensor) -> Answer:
        """views: (B, 3, S, S, 3) uint8, RGB, upright."""
        present = views_present(views)
        if self.training and self.view_dropout > 0:
            present = without_some(present, self.view_dropout)
        pixels = views.permute(0, 1, 4, 2, 3).float() / 255  # (B, 3, RGB, S, S)
        features = self.fusion(pixels, present)
        residual = mean_answer(self.head(features.vectors), present).float()  # (B, A, 106, 3) -> (B, 106, 3)
        return Answer(self.shape_mean + self.shape_scale * residual, features.maps)


def create(
    backbone: str, image_size: int, fusion: str, share: str, head: str, dropout: float, shapes: Shapes = UNKNOWN
) -> FaceNetwork:
    """The untrained network of a run's parameters; shapes, if not given, come with the weights that are loaded into it.
    Raises BadInput for what the backbone cannot do."""
    fused = FUSIONS[fusion](backbone, image_size, share, "none")
    return FaceNetwork(fused, HEADS[head](fused.width, dropout), shapes)


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
