"""Predictions of trained networks, also of the pictures in a mirror."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import checksum, read_json, read_npz, write_npz
from kpl.landmarks import COUNT, MIRROR
from kpl.networks import FaceNetwork, create, load_weights
from kpl.train.views import Views, ahead


def mirror_views(views: Tensor) -> Tensor:
    """(B, 3, S, S, 3) as if taken in a mirror: pictures flipped, views 0 and 2 exchanged."""
    return views[:, [2, 1, 0]].flip(3)


def mirror_shape(points: Tensor) -> Tensor:
    """(B, 106, 3) shapes mirrored, landmarks renamed."""
    return points[:, MIRROR.tolist()] * points.new_tensor([-1.0, 1.0, 1.0])


def predict_rows(
    network: FaceNetwork, store: FaceStore, image_size: int, rows: np.ndarray, batch_size: int, mirrored: bool = False
) -> np.ndarray:
    """The network's shapes for the given rows of a store, in order: (R, 106, 3), canonical frame. mirrored: show it the
    pictures in a mirror; its answer is for the unchanged sample all the same."""
    if not len(rows):
        return np.empty((0, COUNT, 3))
    keys = [[(0, int(row)) for row in rows[start : start + batch_size]] for start in range(0, len(rows), batch_size)]
    network.eval()
    answers = []
    with torch.inference_mode():
        for batch in ahead(Views(store, image_size), keys):
            views = batch.views.to(network.shape_mean.device)
            points = network(mirror_views(views) if mirrored else views).points3d.float()
            answers.append((mirror_shape(points) if mirrored else points).cpu())
    return torch.cat(answers).double().numpy()


def trained(folder: Path, config: dict[str, Any], file: str = "weights.safetensors") -> FaceNetwork:
    """The trained network of a run's folder and its config.json, on the GPU if there is one, in evaluation mode."""
    network = create(*(config[part] for part in ("backbone", "image_size", "fusion", "share", "head", "dropout")))
    load_weights(network, str(folder / file))
    return network.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def predict_network(runs: Path, name: str, store: FaceStore) -> np.ndarray:
    """What a network's finished folds say of every row of a store: (F, N, 106, 3).

    name: a run's name, with "+mirror" behind it for the mean with the answer to the pictures in a mirror. Raises
    BadInput if there is no finished fold, or it was trained on crops of another recipe.
    """
    run, _, mirror = name.partition("+")
    folders = sorted(marker.parent for marker in (runs / run).glob("fold*/done.json"))
    if not folders:
        raise BadInput(f"{runs / run} holds no finished fold: train it with 02_train_fold first.")
    wanted = read_json(folders[0] / "config.json")["recipe"]
    if wanted != store.recipe["name"]:
        remedy = f"run 01_preprocess with -p recipe {wanted}."
        raise BadInput(f"{run} was trained on crops of the recipe {wanted}, and {store.folder} holds others: {remedy}")
    rows, ways = np.arange(len(store.table)), (False, True) if mirror else (False,)
    return np.stack([np.mean([_predict_fold(folder, store, rows, way) for way in ways], axis=0) for folder in folders])


def predict_mirrored(folder: Path, store: FaceStore) -> np.ndarray:
    """A finished fold's answers to the pictures in a mirror, in the order of its predictions.npz: (P, 106, 3).

    Kept in mirrored.npz beside it, with a checksum of the weights that said so. Raises BadInput if the store does not
    hold one of the samples.
    """
    samples = read_npz(folder / "predictions.npz", ("samples",))["samples"].astype(str)
    weights = checksum((folder / "weights.safetensors").read_bytes(), store.fingerprint, samples.tolist())
    file = folder / "mirrored.npz"
    if file.exists() and read_npz(file, ("weights",))["weights"] == weights:
        return read_npz(file, ("points",))["points"]
    rows = pd.Index(store.table["sample"]).get_indexer(samples.tolist())
    if (rows < 0).any():
        unknown = samples[rows < 0][0]
        raise BadInput(f"{store.folder} does not hold sample {unknown}, which {folder} predicted: give its faces.")
    points = _predict_fold(folder, store, rows, mirrored=True).astype(np.float32)
    write_npz(file, weights=np.array(weights), points=points)
    return points


def _predict_fold(folder: Path, store: FaceStore, rows: np.ndarray, mirrored: bool) -> np.ndarray:
    config = read_json(folder / "config.json")
    network = trained(folder, config)
    return predict_rows(network, store, config["image_size"], rows, config["batch_size"], mirrored)
