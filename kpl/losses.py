"""Losses on standardised residuals: `pred` and `gt` are (B, 106, 3), each coordinate in units of its own spread."""

import torch
from torch import Tensor
from torch.nn import functional

from kpl.networks import Answer, spatial_softmax

POSITION_WEIGHT = 30.0  # brings a distance of some hundredths of the crop to the size of the cross-entropy
# The method trains with L1, which the score's own mean distance resembles most.
LOSSES = {"l1": functional.l1_loss, "l2": functional.mse_loss, "smooth_l1": functional.smooth_l1_loss}


def training_loss(
    answer: Answer, points3d: Tensor, points2d: Tensor, scale: Tensor, loss: str, points2d_weight: float
) -> Tensor:
    """What training lowers: `loss` of the 3D landmarks plus that of the 2D ones, from networks that look for them.

    points3d: (B, 106, 3) canonical; points2d: (B, 3, 106, 2) crop units, NaN where unknown; scale: (106, 3) spreads.
    """
    total = LOSSES[loss](answer.points3d / scale, points3d / scale)
    if answer.maps is not None:
        total = total + points2d_weight * points2d_loss(answer.maps, points2d)
    return total


def points2d_loss(maps: Tensor, gt: Tensor) -> Tensor:
    """Cross-entropy of the landmark maps plus the distance of their expected positions; 0 where no landmark is known.

    maps: (B, 3, 106, H, W) logits; gt: (B, 3, 106, 2) crop units, NaN where unknown. The cross-entropy, with the truth
    spread over the four nearest cells, finds a landmark in few steps; the distance (integral regression, Sun et al. 2018)
    makes it exact below a cell.
    """
    known = torch.isfinite(gt).all(dim=-1)
    if not known.any():
        return maps.sum() * 0.0
    maps, gt = maps[known], gt[known]  # (K, H, W), (K, 2)
    distance = (spatial_softmax(maps) - gt).abs().mean()
    return cross_entropy(maps, gt) + POSITION_WEIGHT * distance


def cross_entropy(maps: Tensor, gt: Tensor) -> Tensor:
    """Of maps (K, H, W) against positions (K, 2) that are shared bilinearly between the four nearest cells."""
    height, width = maps.shape[-2:]
    log_share = maps.flatten(1).log_softmax(dim=1)
    size = gt.new_tensor([width, height])
    cell = (gt * size - 0.5).clamp_min(0).minimum(size - 1.001)  # a landmark beyond the crop counts at its edge
    corner, part = cell.floor(), cell.frac()
    index = (corner[:, 1] * width + corner[:, 0]).long()
    loss = 0.0
    for offset, share in (
        (0, (1 - part[:, 0]) * (1 - part[:, 1])),
        (1, part[:, 0] * (1 - part[:, 1])),
        (width, (1 - part[:, 0]) * part[:, 1]),
        (width + 1, part[:, 0] * part[:, 1]),
    ):
        loss = loss - share * log_share.gather(1, (index + offset)[:, None])[:, 0]
    return loss.mean()
