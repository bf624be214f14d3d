"""Layers that several heads use."""

from torch import nn


def three_layers(width: int, out: int, dropout: float, hidden: int = 512) -> nn.Sequential:
    """Three fully connected layers with activation and dropout, the last from zero. (..., width) -> (..., out)."""
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
