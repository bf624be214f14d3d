"""Heads: features in, standardised residuals to the mean shape out. head(features) -> (B, A, 106, 3), A as in Features.

A head is made from the width of the vectors, the channels of the levels, and the dropout. Last layers start at zero, so
training starts from the mean shape and the lift. A new head is a function or class, and a name at the end.
"""

import torch
from torch import Tensor, nn

from kpl.landmarks import COUNT
from kpl.networks.fusions import Features
from kpl.networks.layers import starting_at_zero, three_layers
from kpl.networks.maps import VIEWS
from kpl.networks.sequence import Sequence

LARGEST_LOG = 4.0  # of a spread, from where it starts


class OnVectors(nn.Module):
    """A head that reads the vectors alone: `layers` give (..., 318)."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, features: Features) -> Tensor:
        return self.layers(features.vectors).unflatten(-1, (COUNT, 3))


class ByAxis(nn.Module):
    """Three-layer heads of their own for parts of the coordinates: `parts` (1, 1, 1) is x, y, z; (2, 1) is xy and z."""

    def __init__(self, parts: tuple[int, ...], width: int, dropout: float) -> None:
        super().__init__()
        self.parts = parts
        self.heads = nn.ModuleList(three_layers(width, COUNT * part, dropout, hidden=256) for part in parts)

    def forward(self, features: Features) -> Tensor:
        answers = [head(features.vectors).unflatten(-1, (COUNT, part)) for head, part in zip(self.heads, self.parts)]
        return torch.cat(answers, dim=-1)


class Spread(nn.Module):
    """How far off each landmark may be: the logarithm of its error's standard deviation in each direction (B, A, 106),
    relative to where it starts. It only looks on: no gradient goes back to the features (Kendall & Gal 2017 let it).

    It sees vectors of length one and answers within bounds, so that the rate of the large layers does not shake it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = starting_at_zero(nn.Linear(width + VIEWS, COUNT))

    def forward(self, features: Features) -> Tensor:
        vectors = nn.functional.normalize(features.vectors.detach().float(), dim=2)  # (B, A, D)
        present = features.present[:, None].expand(-1, vectors.shape[1], -1)  # (B, A, 3)
        return LARGEST_LOG * torch.tanh(self.layer(torch.cat([vectors, present], dim=2)) / LARGEST_LOG)


def linear(width: int, channels: list[int], dropout: float) -> nn.Module:
    """One layer, started as torch starts it: the official baseline's."""
    return OnVectors(nn.Linear(width, COUNT * 3))


def fc(width: int, channels: list[int], dropout: float) -> nn.Module:
    """The method's head: three fully connected layers with activation and dropout."""
    return OnVectors(three_layers(width, COUNT * 3, dropout))


def axis(width: int, channels: list[int], dropout: float) -> nn.Module:
    return ByAxis((1, 1, 1), width, dropout)


def axis_xy_z(width: int, channels: list[int], dropout: float) -> nn.Module:
    return ByAxis((2, 1), width, dropout)


HEADS = {"linear": linear, "fc": fc, "axis": axis, "axis_xy_z": axis_xy_z, "sequence": Sequence}
ATTENDING = ("sequence",)  # those that want the feature maps
