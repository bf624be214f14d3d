"""A linear second layer that travels with released weights: ridge over the whole face, fitted on subjects that the
networks have not seen. Networks trained on few subjects are too timid on others, and wrong in ways of the whole face.
"""

import numpy as np
import torch
from torch import Tensor, nn

from kpl.landmarks import COUNT
from kpl.stack import ridge

SIZE = COUNT * 3


class Correction(nn.Module):
    """Landmarks (B, 106, 3) plus what follows linearly from them, where all views are present (B, 3) bool: it is fitted
    on such. Zero until it is."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(SIZE, SIZE))
        self.register_buffer("bias", torch.zeros(SIZE))

    def forward(self, landmarks: Tensor, present: Tensor) -> Tensor:
        flat = landmarks.flatten(1)
        whole = present.all(dim=1, keepdim=True)
        return (flat + torch.where(whole, flat @ self.weight + self.bias, 0.0)).view_as(landmarks)


def fit(points: np.ndarray, truth: np.ndarray, subjects: np.ndarray) -> Correction:
    """The correction of predictions `points` (N, 106, 3) towards `truth` (N, 106, 3); canonical units."""
    center = points.mean(axis=0)
    probes = center + np.concatenate([np.zeros((1, SIZE)), np.eye(SIZE)]).reshape(-1, COUNT, 3)
    added = (ridge(points[None], truth, subjects, probes[None], seed=0) - probes).reshape(-1, SIZE)
    weight = added[1:] - added[0]  # ridge is affine: so many probes tell all of it
    bias = added[0] - center.reshape(-1) @ weight
    found = Correction()
    found.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
    return found
