"""Losses on standardised residuals. `pred` and `gt` are (B, 106, 3), each coordinate in units of its own spread."""

import torch
from torch import Tensor
from torch.nn import functional

# The method trains with L1, which the score's own mean distance resembles most.
LOSSES = {"l1": functional.l1_loss, "l2": functional.mse_loss, "smooth_l1": functional.smooth_l1_loss}


def points2d_loss(pred: Tensor, gt: Tensor) -> Tensor:
    """L1 between 2D landmarks (B, 3, 106, 2) in crop units, over those that are known (not NaN); 0 if none is."""
    known = torch.isfinite(gt)
    return (torch.where(known, pred - gt.nan_to_num(), 0.0)).abs().sum() / known.sum().clamp_min(1)
