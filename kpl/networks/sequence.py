"""Landmarks as a sequence: a recurrent encoder-decoder that attends to itself and to the pictures.

The landmarks' order follows the face's outlines, so neighbours in the sequence are neighbours on the face.
Encoder-decoder of gated recurrent units after Cho et al. 2014, attention after Bahdanau et al. 2015 in the form of
Vaswani et al. 2017. All landmarks are decoded at once: none waits for the answer of the one before.
"""

import torch
from torch import Tensor, nn

from kpl.landmarks import COUNT
from kpl.networks.fusions import Features
from kpl.networks.tokens import Tokens

WIDTH = 128
ATTENTION_HEADS = 4


class Sequence(nn.Module):
    """Each landmark starts as its own learned embedding plus the projected vector, and ends as (dx, dy, dz)."""

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
        answers = features.vectors.shape[1]
        tokens = self.tokens(features).flatten(0, 1)  # (B A, T, WIDTH)
        vector = self.project(features.vectors).flatten(0, 1)  # (B A, WIDTH)
        encoded, state = self.encoder(self.landmark + vector[:, None])  # (B A, 106, WIDTH), (2, B A, WIDTH / 2)
        state = state.transpose(0, 1).flatten(1)[None].contiguous()  # both directions' ends: (1, B A, WIDTH)
        decoded, _ = self.decoder(encoded, state)
        for attention, memory, norm in (
            (self.self_attention, None, self.norms[0]),
            (self.cross_attention, tokens, self.norms[1]),
        ):
            query = norm(decoded)
            memory = query if memory is None else memory
            decoded = decoded + attention(query, memory, memory, need_weights=False)[0]
        residual = torch.einsum("blw,lwc->blc", decoded, self.last_weight) + self.last_bias
        return residual.unflatten(0, (-1, answers))  # (B, A, 106, 3)
