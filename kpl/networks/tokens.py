"""Feature maps as tokens that a head can attend to."""

import torch
from torch import Tensor, nn

from kpl.networks.fusions import Features
from kpl.networks.maps import VIEWS

LEVELS = 2  # the coarse level and the one before
WAVES = 4  # octaves of a position's sines


class Tokens(nn.Module):
    """The cells of the two coarsest levels, projected to one width; learned embeddings say of which view, level and
    place.

    channels: of all levels. A missing view's cells are replaced by a learned vector.
    """

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
    y, x = torch.meshgrid(
        (torch.arange(height, device=device) + 0.5) / height,
        (torch.arange(width, device=device) + 0.5) / width,
        indexing="ij",
    )
    phase = torch.stack([x, y], dim=-1).flatten(0, 1)[..., None] * torch.pi * 2 ** torch.arange(WAVES, device=device)
    return torch.cat([phase.sin(), phase.cos()], dim=-1).flatten(1)
