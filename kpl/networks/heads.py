"""Heads: vectors in, standardised residuals to the mean shape out. (B, A, D) -> (B, A, 106, 3), A as in kpl.networks.fusions.

A head is made from the width of the vectors and the dropout. Last layers start at zero, so training starts from the mean shape.
"""

import torch
from torch import Tensor, nn

from kpl.landmarks import COUNT

WIDTH, ATTENTION_HEADS, OWN = 128, 4, 16  # of the recurrent head; OWN numbers of the vectors' are each landmark's own


class OnVectors(nn.Module):
    """A head of `layers` that give (..., 318)."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, vectors: Tensor) -> Tensor:
        return self.layers(vectors).unflatten(-1, (COUNT, 3))


class ByAxis(nn.Module):
    """Three-layer heads of their own for parts of the coordinates: `parts` (1, 1, 1) is x, y, z; (2, 1) is xy and z."""

    def __init__(self, parts: tuple[int, ...], width: int, dropout: float) -> None:
        super().__init__()
        self.parts = parts
        self.heads = nn.ModuleList(three_layers(width, COUNT * part, dropout, hidden=256) for part in parts)

    def forward(self, vectors: Tensor) -> Tensor:
        answers = [head(vectors).unflatten(-1, (COUNT, part)) for head, part in zip(self.heads, self.parts)]
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
    that attends to itself (Vaswani et al. 2017).

    Each starts as its own learned embedding plus what two layers read for it in the vector, and ends as (dx, dy, dz). All are
    decoded at once: none waits for the answer of the one before.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.landmark = nn.Parameter(torch.randn(COUNT, WIDTH) * 0.1)
        hidden = nn.Linear(width, 512), nn.SiLU(), nn.Dropout(dropout)
        self.project = nn.Sequential(
            *hidden, nn.Linear(512, COUNT * OWN), nn.Unflatten(-1, (COUNT, OWN)), nn.Linear(OWN, WIDTH)
        )
        self.encoder = nn.GRU(WIDTH, WIDTH // 2, batch_first=True, bidirectional=True)
        self.decoder = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.self_attention = nn.MultiheadAttention(WIDTH, ATTENTION_HEADS, dropout, batch_first=True)
        self.norm = nn.LayerNorm(WIDTH)
        self.last_weight = nn.Parameter(torch.zeros(COUNT, WIDTH, 3))  # each landmark reads its own answer
        self.last_bias = nn.Parameter(torch.zeros(COUNT, 3))

    def forward(self, vectors: Tensor) -> Tensor:
        token = self.landmark + self.project(vectors.flatten(0, 1))  # (B A, 106, WIDTH)
        encoded, state = self.encoder(token)  # (B A, 106, WIDTH), (2, B A, WIDTH / 2)
        state = state.transpose(0, 1).flatten(1)[None].contiguous()  # both directions' ends: (1, B A, WIDTH)
        decoded = token + self.decoder(encoded, state)[0]  # around the recurrence, through which little is learned at first
        query = self.norm(decoded)
        decoded = decoded + self.self_attention(query, query, query, need_weights=False)[0]
        residual = torch.einsum("blw,lwc->blc", decoded, self.last_weight) + self.last_bias
        return residual.unflatten(0, vectors.shape[:2])  # (B, A, 106, 3)


HEADS = {
    # One layer, started as torch starts it: the official baseline's.
    "linear": lambda width, dropout: OnVectors(nn.Linear(width, COUNT * 3)),
    "fc": lambda width, dropout: OnVectors(three_layers(width, COUNT * 3, dropout)),  # the method's
    "axis": lambda width, dropout: ByAxis((1, 1, 1), width, dropout),
    "axis_xy_z": lambda width, dropout: ByAxis((2, 1), width, dropout),
    "sequence": Sequence,
}
