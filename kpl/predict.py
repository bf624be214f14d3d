"""Predictions of trained networks."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from kpl import backbones
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import read_json
from kpl.landmarks import COUNT
from kpl.networks import FaceNetwork
from kpl.views import Views


def predict_rows(
    network: FaceNetwork, store: FaceStore, image_size: int, rows: np.ndarray, batch_size: int
) -> np.ndarray:
    """The network's shapes for the given rows of a store, in order: (R, 106, 3), canonical frame."""
    if not len(rows):
        return np.empty((0, COUNT, 3))
    device = network.shape_mean.device
    loader = DataLoader(Views(store, image_size), batch_size, sampler=[(0, int(row)) for row in rows])
    network.eval()
    with torch.inference_mode():
        answers = [network(pixels.to(device)).points3d.float().cpu() for pixels, _, _ in loader]
    return torch.cat(answers).double().numpy()


def predict_network(runs: Path, name: str, store: FaceStore) -> np.ndarray:
    """The mean over a network's finished folds for every row of a store: (N, 106, 3). Raises BadInput without any."""
    finished = sorted(marker.parent for marker in (runs / name).glob("fold*/done.json"))
    if not finished:
        raise BadInput(f"{runs / name} holds no finished fold: train it with 02_train_fold first.")
    rows = np.arange(len(store.table))
    return np.mean([_predict_fold(folder, store, rows) for folder in finished], axis=0)


def _predict_fold(folder: Path, store: FaceStore, rows: np.ndarray) -> np.ndarray:
    config = read_json(folder / "config.json")
    return predict_rows(load_network(folder, config), store, config["image_size"], rows, config["batch_size"])


def load_network(folder: Path, config: dict[str, Any]) -> FaceNetwork:
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
    backbones.load_weights(network, str(folder / "weights.safetensors"))
    return network.to("cuda" if torch.cuda.is_available() else "cpu")
