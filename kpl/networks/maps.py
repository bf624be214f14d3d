"""2D landmark maps and the points they stand for."""

import torch
from torch import Tensor

from kpl.landmarks import MIRROR


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
