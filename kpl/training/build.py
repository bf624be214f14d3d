"""Networks from configs: a fresh one for a fold's training samples, and a trained one from its run folder."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from kpl.config import TrainFold
from kpl.faces import FaceStore
from kpl.landmarks import COUNT
from kpl.networks import FaceNetwork, backbones
from kpl.training import lift

SMALLEST_SPREAD = 1e-4  # canonical units, so that no residual is divided by zero


def untrained(config: TrainFold, store: FaceStore, rows: np.ndarray, pretrained: bool = False) -> FaceNetwork:
    """The network of a config for the training `rows` of a store: its residuals are in units of the spread of their
    shapes, per coordinate, and its lift is fitted to their 2D landmarks if they are known and used."""
    shapes = store.points3d[rows]
    mean, scale = shapes.mean(axis=0), shapes.std(axis=0) + SMALLEST_SPREAD
    network = FaceNetwork(
        config.backbone,
        config.image_size,
        config.fusion,
        config.share,
        config.head,
        config.dropout,
        torch.from_numpy(mean),
        torch.from_numpy(scale),
        pretrained,
        config.view_dropout,
    )
    lifts = network.lift is not None and config.points2d > 0
    fitted = lift.fit(store.points2d[rows], shapes, mean, scale, config.seed) if lifts else None
    if fitted is not None:
        network.lift.fill(*map(torch.from_numpy, fitted))
    return network


def trained(folder: Path, config: dict[str, Any], file: str = "weights.safetensors") -> FaceNetwork:
    """The trained network of a run folder and its saved config, on the GPU if there is one."""
    unknown_shape = torch.zeros(COUNT, 3)  # the weights bring the real one
    network = FaceNetwork(
        config["backbone"],
        config["image_size"],
        config["fusion"],
        config["share"],
        config["head"],
        config["dropout"],
        unknown_shape,
        unknown_shape,
    )
    backbones.load_weights(network, str(folder / file))
    return network.to("cuda" if torch.cuda.is_available() else "cpu")
