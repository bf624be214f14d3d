"""2D landmark maps, the points they stand for, and the shape that follows linearly from those."""

import torch
from torch import Tensor, nn

from kpl.landmarks import COUNT

VIEWS = 3
# The seven sets of views that can be present; a set's place is p0 + 2 p1 + 4 p2 - 1.
SUBSETS = [[bool(code >> view & 1) for view in range(VIEWS)] for code in range(1, 2**VIEWS)]
LARGEST_LIFT = 3.0  # deviations: early in training the 2D landmarks, and what is lifted from them, are anywhere


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


class LinearLift(nn.Module):
    """Standardised residuals that follow linearly from the views' normalised 2D landmarks, fitted by kpl.train.lift
    for each subset of views; zero until then. Nothing in it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(len(SUBSETS), COUNT * 3, VIEWS * COUNT * 2))
        self.register_buffer("bias", torch.zeros(len(SUBSETS), COUNT * 3))

    def forward(self, points: Tensor, present: Tensor) -> Tensor:
        """points (B, 3, 212), present (B, 3) bool -> (B, 106, 3); zero where no view is present. It passes no gradient
        back, or it would bend the 2D landmarks."""
        subset = (present * torch.tensor([1, 2, 4], device=present.device)).sum(dim=1) - 1  # (B,)
        with torch.autocast(points.device.type, enabled=False):
            points = points.detach().float().flatten(1)  # (B, 636)
            all_lifts = torch.einsum("bp,srp->bsr", points, self.weight) + self.bias
        own = all_lifts[torch.arange(points.shape[0], device=points.device), subset]
        lifted = own * present.any(dim=1, keepdim=True)
        return lifted.clamp(-LARGEST_LIFT, LARGEST_LIFT).unflatten(1, (COUNT, 3))
