"""A linear second layer that travels with released weights: ridge over the whole face, fitted on subjects that the
networks have not seen.

Networks trained on few subjects are too timid on others, and wrong in ways of the whole face; see
kpl.stacking.second_layers.ridge.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from kpl.errors import BadInput
from kpl.files import atomic
from kpl.landmarks import COUNT
from kpl.networks import views_present

Correction = tuple[Tensor, Tensor]  # weight (318, 318), bias (318,): what is added is landmarks @ weight + bias


def fit(points: np.ndarray, truth: np.ndarray, subjects: np.ndarray) -> Correction:
    """The correction of predictions `points` (N, 106, 3) towards `truth` (N, 106, 3); canonical units."""
    from kpl.stacking.second_layers import ridge  # here: it brings LightGBM, and only a release needs it

    size = COUNT * 3
    center = points.mean(axis=0)
    probes = center + np.concatenate([np.zeros((1, size)), np.eye(size)]).reshape(-1, COUNT, 3)
    added = (ridge(points[None], truth, subjects, probes[None], seed=0) - probes).reshape(-1, size)
    weight = added[1:] - added[0]  # ridge is affine: so many probes tell all of it
    bias = added[0] - center.reshape(-1) @ weight
    return torch.from_numpy(weight).float(), torch.from_numpy(bias).float()


def apply(correction: Correction, landmarks: Tensor, views: Tensor) -> Tensor:
    """Landmarks (B, 106, 3) corrected where none of the sample's views (B, 3, S, S, 3) is missing: it was fitted on
    such."""
    weight, bias = correction
    flat = landmarks.flatten(1)
    whole = views_present(views).all(dim=1)
    return (flat + torch.where(whole[:, None], flat @ weight + bias, 0.0)).view_as(landmarks)


def save(correction: Correction, file: Path) -> None:
    """Write a safetensors file, atomically."""
    with atomic(file) as temporary:
        save_file({"weight": correction[0].contiguous(), "bias": correction[1].contiguous()}, temporary)


def load(file: Path) -> Correction:
    """Read what `save` wrote. Raises BadInput if it is missing or damaged."""
    try:
        found = load_file(file)
        return found["weight"].view(COUNT * 3, COUNT * 3), found["bias"].view(COUNT * 3)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise BadInput(f"{file} holds no correction ({error}): release the weights again.") from None
