"""2D landmark maps, and the points they stand for."""

import torch
from torch import Tensor

VIEWS = 3
# The seven sets of views that can be present, all three last.
SUBSETS = [[bool(code >> view & 1) for view in range(VIEWS)] for code in range(1, 2**VIEWS)]


def spatial_softmax(maps: Tensor) -> Tensor:
    """The expected position under the softmax of each map. (..., H, W) -> (..., 2) as x, y in 0..1 of the crop. Finn et
    al. 2016; with a loss on it, the "integral regression" of Sun et al. 2018. It needs no 2D target to train."""
    height, width = maps.shape[-2:]
    share = maps.flatten(-2).softmax(dim=-1).unflatten(-1, (height, width))
    x = (torch.arange(width, device=maps.device) + 0.5) / width
    y = (torch.arange(height, device=maps.device) + 0.5) / height
    # Products and sums, not a matrix product: mixed precision would round that to two digits.
    return torch.stack([(share.sum(dim=-2) * x).sum(dim=-1), (share.sum(dim=-1) * y).sum(dim=-1)], dim=-1)


def scatter(maps: Tensor) -> Tensor:
    """How far the softmax of each map (..., H, W) lies about its expected position: RMS distance (...,), crop units."""
    height, width = maps.shape[-2:]
    share = maps.flatten(-2).softmax(dim=-1).unflatten(-1, (height, width))
    variance = 0.0
    for other, size in ((-2, width), (-1, height)):
        place, along = (torch.arange(size, device=maps.device) + 0.5) / size, share.sum(dim=other)
        variance = variance + (along * place**2).sum(dim=-1) - (along * place).sum(dim=-1) ** 2
    return variance.clamp_min(0).sqrt()
