"""Heads: features in, standardised residuals to the mean shape out. head(features) -> (B, A, 106, 3), A as in Features.

A head is made from the width of the vectors, the channels of the levels, and the dropout. Last layers start at zero, so
training starts from the mean shape and the lift.
"""

import torch
from torch import Tensor, nn

from kpl.landmarks import COUNT
from kpl.networks.fusions import Features
from kpl.networks.maps import VIEWS

# Of the recurrent head: its width, attention heads, levels (the coarse one and the one before), octaves of a place.
WIDTH, ATTENTION_HEADS, LEVELS, WAVES = 128, 4, 2, 4


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


def three_layers(width: int, out: int, dropout: float, hidden: int = 512) -> nn.Sequential:
    """Three fully connected layers with activation and dropout, the last from zero. (..., width) -> (..., out)."""
    first = nn.Linear(width, hidden), nn.SiLU(), nn.Dropout(dropout)
    second = nn.Linear(hidden, hidden), nn.SiLU(), nn.Dropout(dropout)
    return nn.Sequential(*first, *second, starting_at_zero(nn.Linear(hidden, out)))


def starting_at_zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Sequence(nn.Module):
    """Landmarks as a sequence, whose order follows the face's outlines: a recurrent encoder-decoder (Cho et al. 2014)
    that attends to itself and to the pictures (Bahdanau et al. 2015, in the form of Vaswani et al. 2017).

    Each starts as its own learned embedding plus the projected vector, and ends as (dx, dy, dz). All are decoded at
    once: none waits for the answer of the one before.
    """

    def __init__(self, width: int, channels: list[int], dropout: float) -> None:
        super().__init__()
        self.tokens = Tokens(channels, WIDTH)
        self.landmark = nn.Parameter(torch.randn(COUNT, WIDTH) * 0.1)
        self.project = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, WIDTH))
        self.encoder = nn.GRU(WIDTH, WIDTH // 2, batch_first=True, bidirectional=True)
        self.decoder = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.self_attention = nn.MultiheadAttention(WIDTH, ATTENTION_HEADS, dropout, batch_first=True)
        self.cross_attention = nn.MultiheadAttention(WIDTH, ATTENTION_HEADS, dropout, batch_first=True)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.last_weight = nn.Parameter(torch.zeros(COUNT, WIDTH, 3))  # each landmark reads its own answer
        self.last_bias = nn.Parameter(torch.zeros(COUNT, 3))

    def forward(self, features: Features) -> Tensor:
        tokens = self.tokens(features).flatten(0, 1)  # (B A, T, WIDTH)
        vector = self.project(features.vectors).flatten(0, 1)  # (B A, WIDTH)
        encoded, state = self.encoder(self.landmark + vector[:, None])  # (B A, 106, WIDTH), (2, B A, WIDTH / 2)
        state = state.transpose(0, 1).flatten(1)[None].contiguous()  # both directions' ends: (1, B A, WIDTH)
        decoded, _ = self.decoder(encoded, state)
        query = self.norms[0](decoded)
        decoded = decoded + self.self_attention(query, query, query, need_weights=False)[0]
        decoded = decoded + self.cross_attention(self.norms[1](decoded), tokens, tokens, need_weights=False)[0]
        residual = torch.einsum("blw,lwc->blc", decoded, self.last_weight) + self.last_bias
        return residual.unflatten(0, features.vectors.shape[:2])  # (B, A, 106, 3)


class Tokens(nn.Module):
    """The cells of the two coarsest levels, projected to one width; learned embeddings say of which view, level and
    place. channels: of all levels. A missing view's cells are replaced by a learned vector."""

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Linear(count, width) for count in channels[-LEVELS:])
        self.place = nn.Linear(4 * WAVES, width)
        self.view = nn.Parameter(torch.randn(VIEWS, 1, width) * 0.02)
        self.missing = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Features) -> Tensor:
        """(B, A, T, width): all views' cells for a single answer, each view's own for three answers."""
        cells = []
        for level, project in zip(features.levels[-LEVELS:], self.project):  # (B, V, C, H, W), V is 3 or 1
            place = self.place(sines(*level.shape[-2:], device=level.device))  # (H W, width)
            cells.append(project(level.flatten(3).transpose(2, 3)) + place)  # (B, V, H W, width)
        tokens = torch.cat(cells, dim=2)
        views = tokens.shape[1]
        present = features.present if views == VIEWS else features.present.any(dim=1, keepdim=True)
        tokens = torch.where(present[..., None, None], tokens, self.missing) + self.view[:views]
        if features.vectors.shape[1] == 1:
            tokens = tokens.flatten(1, 2)[:, None]
        return self.norm(tokens)


def sines(height: int, width: int, device: torch.device) -> Tensor:
    """The places of H x W cells as sines and cosines of their x and y, in octaves (Vaswani et al. 2017). (H W, 16)."""
    sides = ((torch.arange(count, device=device) + 0.5) / count for count in (height, width))
    y, x = torch.meshgrid(*sides, indexing="ij")
    phase = torch.stack([x, y], dim=-1).flatten(0, 1)[..., None] * torch.pi * 2 ** torch.arange(WAVES, device=device)
    return torch.cat([phase.sin(), phase.cos()], dim=-1).flatten(1)


HEADS = {
    # One layer, started as torch starts it: the official baseline's.
    "linear": lambda width, channels, dropout: OnVectors(nn.Linear(width, COUNT * 3)),
    "fc": lambda width, channels, dropout: OnVectors(three_layers(width, COUNT * 3, dropout)),  # the method's
    "axis": lambda width, channels, dropout: ByAxis((1, 1, 1), width, dropout),
    "axis_xy_z": lambda width, channels, dropout: ByAxis((2, 1), width, dropout),
    "sequence": Sequence,
}
ATTENDING = ("sequence",)  # those that want the feature maps
