"""Landmarks as queries that attend to each other and to all views at once (a transformer's decoder: Vaswani et al. 2017;
queries for what is looked for: Carion et al. 2020).

A query starts as what is known of its landmark: an embedding of its own, the projected vector, and, where a fusion finds
2D landmarks, the features and the place at which each view saw it.
"""

import torch
from torch import Tensor, nn

from kpl.landmarks import COUNT
from kpl.networks.fusions import Features, Widths
from kpl.networks.maps import VIEWS
from kpl.networks.tokens import Tokens

WIDTH = 128
LAYERS = 2
ATTENTION_HEADS = 4


class LandmarkQueries(nn.Module):
    """(B, A, 106, 3), as every head."""

    def __init__(self, widths: Widths, dropout: float) -> None:
        super().__init__()
        self.tokens = Tokens(widths.levels, WIDTH)
        self.landmark = nn.Parameter(torch.randn(COUNT, WIDTH) * 0.1)
        self.project = nn.Sequential(nn.LayerNorm(widths.vector), nn.Linear(widths.vector, WIDTH))
        if widths.local:
            self.missing = nn.Parameter(torch.zeros(VIEWS, 1, widths.local + 2))
            self.seen = nn.Linear(VIEWS * (widths.local + 2), WIDTH)
        layer = nn.TransformerDecoderLayer(
            WIDTH, ATTENTION_HEADS, 2 * WIDTH, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, LAYERS, nn.LayerNorm(WIDTH))
        self.last_weight = nn.Parameter(torch.zeros(COUNT, WIDTH, 3))  # each landmark reads its own answer
        self.last_bias = nn.Parameter(torch.zeros(COUNT, 3))

    def forward(self, features: Features) -> Tensor:
        answers = features.vectors.shape[1]
        queries = self.landmark + self.project(features.vectors)[:, :, None]  # (B, A, 106, WIDTH)
        if features.local is not None:
            queries = queries + self.seen(self._seen(features))[:, None]
        decoded = self.decoder(queries.flatten(0, 1), self.tokens(features).flatten(0, 1))  # (B A, 106, WIDTH)
        residual = torch.einsum("blw,lwc->blc", decoded, self.last_weight) + self.last_bias
        return residual.unflatten(0, (-1, answers))

    def _seen(self, features: Features) -> Tensor:
        """What the views saw at each landmark, and where: (B, 106, 3 (C + 2))."""
        places = features.points.unflatten(2, (COUNT, 2)).detach()  # (B, 3, 106, 2)
        seen = torch.cat([features.local, places.to(features.local.dtype)], dim=3)
        seen = torch.where(features.present[..., None, None], seen, self.missing)
        return seen.transpose(1, 2).flatten(2)
