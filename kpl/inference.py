"""Predictions of trained networks."""

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from kpl import build
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
    return predict_rows(build.trained(folder, config), store, config["image_size"], rows, config["batch_size"])
