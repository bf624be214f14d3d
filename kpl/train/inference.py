"""Predictions of trained networks."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import read_json
from kpl.landmarks import COUNT, MIRROR
from kpl.networks import FaceNetwork, create, load_weights
from kpl.train.views import Views, ahead


def mirror_views(views: Tensor) -> Tensor:
    """(B, 3, S, S, 3) as if taken in a mirror: pictures flipped, views 0 and 2 exchanged."""
    return views[:, [2, 1, 0]].flip(3)


def mirror_shape(points: Tensor) -> Tensor:
    """(B, 106, 3) shapes mirrored, landmarks renamed."""
    return points[:, MIRROR.tolist()] * points.new_tensor([-1.0, 1.0, 1.0])


def asked_twice(network: FaceNetwork, views: Tensor) -> Tensor:
    """Canonical shapes (B, 106, 3): the mean of what a network says of views (B, 3, S, S, 3) and of their mirror image. A
    mirrored face is a face."""
    plain, mirrored = network(views).points3d.float(), network(mirror_views(views)).points3d.float()
    return (plain + mirror_shape(mirrored)) / 2


def predict_rows(
    network: FaceNetwork, store: FaceStore, image_size: int, rows: np.ndarray, batch_size: int, twice: bool = False
) -> np.ndarray:
    """The network's shapes for the given rows of a store, in order: (R, 106, 3), canonical frame. twice: see
    `asked_twice`."""
    if not len(rows):
        return np.empty((0, COUNT, 3))
    size = 4 * batch_size  # of training; here nothing is kept for a way back
    keys = [[(0, int(row)) for row in rows[start : start + size]] for start in range(0, len(rows), size)]
    network.eval()
    answers = []
    with torch.inference_mode():
        for batch in ahead(Views(store, image_size), keys):
            views = batch.views.to(network.shape_mean.device)
            answers.append((asked_twice(network, views) if twice else network(views).points3d.float()).cpu())
    return torch.cat(answers).double().numpy()


def trained(folder: Path, config: dict[str, Any], file: str = "weights.safetensors") -> FaceNetwork:
    """The trained network of a run's folder and its config.json, on the GPU if there is one, in evaluation mode."""
    network = create(*(config[part] for part in ("backbone", "image_size", "fusion", "share", "head", "dropout")))
    load_weights(network, str(folder / file))
    return (network.cuda() if torch.cuda.is_available() else network.to(memory_format=torch.channels_last)).eval()


def predict_network(runs: Path, name: str, store: FaceStore) -> np.ndarray:
    """What the finished folds of the network `name` say of every row of a store, asked twice: (F, N, 106, 3). Raises
    BadInput if there is no finished fold, or it was trained on crops of another recipe."""
    folders = sorted(marker.parent for marker in (runs / name).glob("fold*/done.json"))
    if not folders:
        raise BadInput(f"{runs / name} holds no finished fold: train it with 02_train_fold first.")
    configs = [read_json(folder / "config.json") for folder in folders]
    wanted = configs[0]["recipe"]
    if wanted != store.recipe["name"]:
        remedy = f"run 01_preprocess with -p recipe {wanted}."
        raise BadInput(f"{name} was trained on crops of the recipe {wanted}, and {store.folder} holds others: {remedy}")
    answers, rows = [], np.arange(len(store.table))
    for folder, made in zip(folders, configs):
        sizes = made["image_size"], rows, made["batch_size"]
        answers.append(predict_rows(trained(folder, made), store, *sizes, twice=True))
    return np.stack(answers)
