"""Heads: features in, standardised residuals to the mean shape out. head(features) -> (B, A, 106, 3).

Last layers start at zero, so training starts from the mean shape and the lift.
"""

from torch import Tensor, nn

from kpl.landmarks import COUNT
from kpl.networks.fusions import Features

ATTENDING = ()  # heads that want the feature maps


class OnVectors(nn.Module):
    """A head that reads the vectors alone: `layers` give (..., 318)."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, features: Features) -> Tensor:
        return self.layers(features.vectors).unflatten(-1, (COUNT, 3))


def linear(width: int, channels: list[int], dropout: float) -> nn.Module:
    """One layer, started as torch starts it: the official baseline's."""
    return OnVectors(nn.Linear(width, COUNT * 3))


def fc(width: int, channels: list[int], dropout: float) -> nn.Module:
    """The method's head: three fully connected layers with activation and dropout."""
    return OnVectors(three_layers(width, COUNT * 3, dropout))


HEADS = {"linear": linear, "fc": fc}


def three_layers(width: int, out: int, dropout: float, hidden: int = 512) -> nn.Sequential:
    """(..., width) -> (..., out)."""
    return nn.Sequential(
        nn.Linear(width, hidden),
        nn.SiLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.SiLU(),
        nn.Dropout(dropout),
        starting_at_zero(nn.Linear(hidden, out)),
    )


def starting_at_zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
