"""What training lowers; 02_train_fold adds the parts up."""

import torch
from torch import Tensor
from torch.nn import functional

from kpl.networks.maps import spatial_softmax

POSITION_WEIGHT = 30.0  # brings a distance of some hundredths of the crop to the size of the cross-entropy

# Of points in units of each coordinate's own spread. The method trains with L1, which the score resembles most.
LOSSES = {"l1": functional.l1_loss, "l2": functional.mse_loss, "smooth_l1": functional.smooth_l1_loss}


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
