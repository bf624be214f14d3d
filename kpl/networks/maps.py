"""2D landmark maps, and the points they stand for."""

import torch
from torch import Tensor

VIEWS = 3
# The seven sets of views that can be present, all three last.
SUBSETS = [[bool(code >> view & 1) for view in range(VIEWS)] for code in range(1, 2**VIEWS)]


def spatial_softmax(maps: Tensor) -> Tensor:
    """The expected position under the softmax of each map. (..., H, W) -> (..., 2) as x, y in 0..1 of the crop. Finn et
    al. 2016; with a loss on it, the "integral regression" of Sun et al. 2018. It needs no 2D target to train."""
    # Products and sums, not a matrix product: mixed precision would round that to two digits.
    return torch.stack([(share * place).sum(dim=-1) for share, place in _across(maps)], dim=-1)


def scatter(maps: Tensor) -> Tensor:
    """How far the softmax of each map (..., H, W) lies about its expected position: RMS distance (...,), crop units."""
    variance = sum((share * place**2).sum(dim=-1) - (share * place).sum(dim=-1) ** 2 for share, place in _across(maps))
    return variance.clamp_min(0).sqrt()


def _across(maps: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Of x and y, how the softmax of each map is shared between the cells (..., W or H), and where these are."""
    share = maps.flatten(-2).softmax(dim=-1).unflatten(-1, maps.shape[-2:])
    parts = share.sum(dim=-2), share.sum(dim=-1)
    return [(part, (torch.arange(part.shape[-1], device=maps.device) + 0.5) / part.shape[-1]) for part in parts]
