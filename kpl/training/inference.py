"""Predictions of trained networks, also of changed copies of the pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import read_json, read_npz, write_npz
from kpl.landmarks import COUNT, MIRROR
from kpl.networks import FaceNetwork
from kpl.training import build, loader
from kpl.views import Views


def mirror_views(views: Tensor) -> Tensor:
    """(B, 3, S, S, 3) as if taken in a mirror: pictures flipped, views 0 and 2 exchanged."""
    return views[:, [2, 1, 0]].flip(3)


def mirror_shape(points: Tensor) -> Tensor:
    """(B, 106, 3) shapes mirrored, landmarks renamed."""
    return points[:, MIRROR.tolist()] * points.new_tensor([-1.0, 1.0, 1.0])


def _without(view: int) -> Callable[[Tensor], Tensor]:
    def black(views: Tensor) -> Tensor:
        views = views.clone()
        views[:, view] = 0  # which is how a missing view looks
        return views

    return black


# Changed copies of a sample: what is done to its views, and what undoes it in the answer.
COPIES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "mirror": (mirror_views, mirror_shape),
    **{f"without{view}": (_without(view), lambda points: points) for view in range(3)},
}
# What may stand behind a network's name, as in "small+mirror": the mean of its answers to the sample and to these copies.
AVERAGED = {"mirror": ("mirror",), "views": ("without0", "without1", "without2")}


def predict_rows(
    network: FaceNetwork, store: FaceStore, image_size: int, rows: np.ndarray, batch_size: int, copy: str = ""
) -> np.ndarray:
    """The network's shapes for the given rows of a store, in order: (R, 106, 3), canonical frame.

    copy: one of COPIES, to show the network that instead; its answer is for the unchanged sample all the same.
    """
    if not len(rows):
        return np.empty((0, COUNT, 3))
    change, undo = COPIES[copy] if copy else (lambda views: views, lambda points: points)
    device = network.shape_mean.device
    keys = [[(0, int(row)) for row in rows[start : start + batch_size]] for start in range(0, len(rows), batch_size)]
    network.eval()
    with loader.ahead(Views(store, image_size), keys) as batches, torch.inference_mode():
        answers = [undo(network(change(pixels.to(device))).points3d.float()).cpu() for pixels, _, _ in batches]
    return torch.cat(answers).double().numpy()


def predict_network(runs: Path, name: str, store: FaceStore) -> np.ndarray:
    """What a network's finished folds say of every row of a store: (F, N, 106, 3).

    name: a run's name, with "+mirror" or "+views" behind it for the mean with those copies. Raises BadInput if there is
    no finished fold, or it was trained on crops of another recipe.
    """
    run, _, averaged = name.partition("+")
    finished = sorted(marker.parent for marker in (runs / run).glob("fold*/done.json"))
    if not finished:
        raise BadInput(f"{runs / run} holds no finished fold: train it with 02_train_fold first.")
    rows = np.arange(len(store.table))
    answers = []
    for folder in finished:
        wanted = read_json(folder / "done.json").get("inputs", {}).get("recipe", store.recipe.get("name", ""))
        if wanted != store.recipe.get("name", ""):
            raise BadInput(
                f"{run} was trained on crops of the recipe {wanted}, and {store.folder} holds others: "
                f"run 01_preprocess with -p recipe {wanted}."
            )
        answers.append(np.mean([_predict_fold(folder, store, rows, copy) for copy in _members(averaged)], axis=0))
    return np.stack(answers)


def predict_copies(folder: Path, averaged: str, store: FaceStore) -> np.ndarray:
    """The mean over a finished fold's answers to the copies of AVERAGED[averaged], for the samples that it predicted.

    In the order of its predictions.npz: (P, 106, 3); kept in copies_<averaged>.npz beside it. Raises BadInput if the
    store does not hold one of the samples.
    """
    samples = read_npz(folder / "predictions.npz", ("samples",))["samples"].astype(str)
    file = folder / f"copies_{averaged}.npz"
    if file.exists():
        kept = read_npz(file, ("samples", "points"))
        if np.array_equal(kept["samples"], samples):
            return kept["points"]
    place = {sample: row for row, sample in enumerate(store.table["sample"])}
    unknown = [sample for sample in samples if sample not in place]
    if unknown:
        raise BadInput(f"{store.folder} does not hold sample {unknown[0]}, which {folder} predicted: give its faces.")
    rows = np.array([place[sample] for sample in samples], dtype=int)
    points = np.mean([_predict_fold(folder, store, rows, copy) for copy in AVERAGED[averaged]], axis=0)
    write_npz(file, samples=samples, points=points.astype(np.float32))
    return points.astype(np.float32)


def _members(averaged: str) -> tuple[str, ...]:
    """The copies that "network+<averaged>" is the mean over; "" is the unchanged sample."""
    return ("", *AVERAGED[averaged]) if averaged else ("",)


def _predict_fold(folder: Path, store: FaceStore, rows: np.ndarray, copy: str = "") -> np.ndarray:
    config = read_json(folder / "config.json")
    return predict_rows(build.trained(folder, config), store, config["image_size"], rows, config["batch_size"], copy)
