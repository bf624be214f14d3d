"""What training lowers; 02_train_fold adds the parts up.

points3d: (B, 106, 3) canonical; scale: (106, 3), the spread of each coordinate, in which residuals are measured.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from kpl.networks.maps import spatial_softmax
from kpl.networks.network import Answer

POSITION_WEIGHT = 30.0  # brings a distance of some hundredths of the crop to the size of the cross-entropy
SPREAD_WEIGHT = 0.01  # nothing but the spread's own layer learns from it, at a rate that AdamW makes its own
WING_WIDTH, WING_BEND = 1.0, 0.2


def on_residuals(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Answer, Tensor, Tensor], Tensor]:
    """A loss of prediction and truth in which each coordinate is in units of its own spread."""
    return lambda answer, points3d, scale: function(answer.points3d / scale, points3d / scale)


def wing_loss(pred: Tensor, gt: Tensor) -> Tensor:
    """Steep for small errors, L1 for large ones (Feng et al. 2018, with their ratio of width to bend)."""
    error = (pred - gt).abs()
    offset = WING_WIDTH - WING_WIDTH * math.log1p(WING_WIDTH / WING_BEND)
    return torch.where(error < WING_WIDTH, WING_WIDTH * (error / WING_BEND).log1p(), error - offset).mean()


def gaussian_loss(answer: Answer, points3d: Tensor, scale: Tensor) -> Tensor:
    """Negative log likelihood, per coordinate and up to a constant, of landmarks that scatter around the predicted ones
    with the predicted spread in each direction (Nix & Weigend 1994), in units of the mean spread of the shapes."""
    unit = scale.mean()
    log_spread = answer.log_spread - unit.log()  # (B, 106)
    square = ((answer.points3d - points3d) / unit).square().mean(dim=2)
    return (log_spread + 0.5 * square * (-2 * log_spread).exp()).mean()


def spread_loss(answer: Answer, points3d: Tensor, scale: Tensor) -> Tensor:
    """What teaches a network that is trained by another loss how far off it is: the landmarks themselves do not move."""
    return SPREAD_WEIGHT * gaussian_loss(answer._replace(points3d=answer.points3d.detach()), points3d, scale)


# The method trains with L1, which the score's own mean distance resembles most.
LOSSES = {
    "l1": on_residuals(functional.l1_loss),
    "l2": on_residuals(functional.mse_loss),
    "smooth_l1": on_residuals(functional.smooth_l1_loss),
    "wing": on_residuals(wing_loss),
    "gaussian": gaussian_loss,
}


def points2d_loss(maps: Tensor, gt: Tensor) -> Tensor:
    """Cross-entropy of the landmark maps plus the distance of their expected positions; 0 where no landmark is known.

    maps: (B, 3, 106, H, W) logits; gt: (B, 3, 106, 2) crop units, NaN where unknown. The cross-entropy finds a landmark
    in few steps; the distance (integral regression, Sun et al. 2018) makes it exact below a cell.
    """
    known = torch.isfinite(gt).all(dim=-1)
    if not known.any():
        return maps.sum() * 0.0
    maps, gt = maps[known], gt[known]  # (K, H, W), (K, 2)
    return cross_entropy(maps, gt) + POSITION_WEIGHT * (spatial_softmax(maps) - gt).abs().mean()


def cross_entropy(maps: Tensor, gt: Tensor) -> Tensor:
    """Of maps (K, H, W) against positions (K, 2) that are shared bilinearly between the four nearest cells."""
    height, width = maps.shape[-2:]
    log_share = maps.flatten(1).log_softmax(dim=1)
    size = gt.new_tensor([width, height])
    cell = (gt * size - 0.5).clamp_min(0).minimum(size - 1.001)  # a landmark beyond the crop counts at its edge
    corner, (x, y) = cell.floor(), cell.frac().unbind(1)
    index = (corner[:, 1] * width + corner[:, 0]).long()
    loss = 0.0
    for offset, share in ((0, (1 - x) * (1 - y)), (1, x * (1 - y)), (width, (1 - x) * y), (width + 1, x * y)):
        loss = loss - share * log_share.gather(1, (index + offset)[:, None])[:, 0]
    return loss.mean()
