"""Networks: three pictures of a face in, 106 landmarks in 3D out. They know nothing of files or training.

views (B, 3, S, S, 3) uint8  -- fusion -->   features: one vector, or one a view; feature maps; 2D landmarks of each view
                             -- head -->     standardised residuals to the mean shape, averaged over the vectors
                             -- lift -->     plus what follows linearly from the 2D landmarks, where a fusion finds them

A new fusion is a module in `fusions`, a new head a module or function in `heads`; each file ends with the names it offers.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kpl.errors import BadInput
from kpl.landmarks import COUNT
from kpl.networks.encoders import SHARES, VIEWS
from kpl.networks.fusions import FUSIONS
from kpl.networks.heads import ATTENDING, HEADS
from kpl.networks.maps import normalised, spatial_softmax

__all__ = ["FUSIONS", "HEADS", "LARGEST_LIFT", "SHARES", "Answer", "FaceNetwork", "normalised", "spatial_softmax"]

# Standard deviations: early in training the 2D landmarks, and what is lifted from them, are anywhere.
LARGEST_LIFT = 3.0


class Answer(NamedTuple):
    """What a network says. points3d: (B, 106, 3) canonical frame; maps: (B, 3, 106, H, W) logits of where each 2D landmark
    is in each view's crop, None from fusions that look for none."""

    points3d: Tensor
    maps: Tensor | None


class FaceNetwork(nn.Module):
    """A fusion of the views' features, and a head.

    shape_mean, shape_scale: (106, 3) mean and standard deviation of the training shapes; the head's answer is a residual
    in these units. pretrained: start from timm's published weights. A view that is black all over is missing: it is
    answered without. Raises BadInput for an unknown name.
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
        self.fusion = FUSIONS[fusion](backbone, image_size, share, pretrained, with_levels=head in ATTENDING)
        self.head = HEADS[head](self.fusion.width, self.fusion.channels, dropout)
        if self.fusion.finds_points:
            self.register_buffer("lift_weight", torch.zeros(COUNT * 3, VIEWS * COUNT * 2))
            self.register_buffer("lift_bias", torch.zeros(COUNT * 3))
        self.register_buffer("shape_mean", shape_mean.detach().clone().float().contiguous())
        self.register_buffer("shape_scale", shape_scale.detach().clone().float().contiguous())

    def forward(self, views: Tensor) -> Answer:
        """views: (B, 3, S, S, 3) uint8, RGB, upright."""
        present = views.flatten(2).amax(dim=2) > 0  # (B, 3)
        pixels = views.permute(0, 1, 4, 2, 3).float() / 255  # (B, 3, RGB, S, S)
        features = self.fusion(pixels, present)
        residual = mean_answer(self.head(features), present)  # (B, A, 106, 3) -> (B, 106, 3)
        if features.points is not None:
            residual = residual + self._lifted(features.points)
        return Answer(self.shape_mean + self.shape_scale * residual, features.maps)

    def _lifted(self, points: Tensor) -> Tensor:
        """The residual that follows from the views' points (B, 3, 212); no gradient, or it would bend the 2D landmarks."""
        with torch.autocast(points.device.type, enabled=False):
            lifted = nn.functional.linear(points.detach().float().flatten(1), self.lift_weight, self.lift_bias)
        return lifted.clamp(-LARGEST_LIFT, LARGEST_LIFT).unflatten(1, (COUNT, 3))


def mean_answer(answers: Tensor, present: Tensor) -> Tensor:
    """Answers (B, A, ...): the only one, or the mean over the views that are present (B, 3); zero if there is none."""
    if answers.shape[1] == 1:
        return answers[:, 0]
    weight = present / present.sum(dim=1, keepdim=True).clamp_min(1)  # (B, 3)
    return (answers * weight.reshape(*weight.shape, *(1 for _ in answers.shape[2:]))).sum(dim=1)
