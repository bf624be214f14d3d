"""Predictions of trained networks."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from kpl import cameras
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import read_json
from kpl.landmarks import COUNT, MIRROR, mirror_points, mirror_points2d
from kpl.networks import FaceNetwork, create, load_weights, scatter, spatial_softmax, views_present
from kpl.train.augment import SIDES_EXCHANGED
from kpl.train.views import Views, ahead

UNSEEN, AROUND = 10.0, 5  # how much less is said of what no picture shows; pixels that are black about it


class Look(NamedTuple):
    """What a network sees in B samples. What it does not look for, and whatever is of a missing view, is NaN."""

    points3d: Tensor  # (B, 106, 3) canonical frame, by its head
    points2d: Tensor  # (B, 3, 106, 2) crop units
    doubt: Tensor  # (B, 3, 106) how wide each one's map is, crop units; UNSEEN times that beyond the picture's border


def look(network: FaceNetwork, views: Tensor, twice: bool = True) -> Look:
    """At views (B, 3, S, S, 3) uint8; twice: the mean over them and their mirror image. A mirrored face is a face."""
    answers = [network(each) for each in (views, views[:, SIDES_EXCHANGED].flip(3))[: 1 + twice]]
    points3d = [answers[0].points3d.float(), *(mirror_points(one.points3d.float()) for one in answers[1:])]
    points2d, doubt = views.new_full((2, views.shape[0], 3, COUNT), torch.nan, dtype=torch.float32)
    points2d = points2d[..., None].expand(-1, -1, -1, 2)
    if answers[0].maps is not None:
        places, widths = zip(*((spatial_softmax(one.maps), scatter(one.maps)) for one in answers))
        points2d = torch.stack([places[0], *(mirror_points2d(one[:, SIDES_EXCHANGED]) for one in places[1:])]).mean(dim=0)
        doubt = torch.stack([widths[0], *(one[:, SIDES_EXCHANGED][:, :, MIRROR.tolist()] for one in widths[1:])]).mean(dim=0)
        doubt = torch.where(beyond(views, points2d), UNSEEN * doubt, doubt)
    missing = ~views_present(views)[:, :, None]
    points2d, doubt = points2d.masked_fill(missing[..., None], torch.nan), doubt.masked_fill(missing, torch.nan)
    return Look(torch.stack(points3d).mean(dim=0), points2d, doubt)


def beyond(views: Tensor, points2d: Tensor) -> Tensor:
    """Which landmarks (B, 3, 106, 2) lie where their view (B, 3, S, S, 3) is black all about: there the picture had ended."""
    lit = max_pool2d(views.amax(dim=4).float(), AROUND, 1, AROUND // 2)  # (B, 3, S, S)
    x, y = (points2d.clamp(0, 1) * (views.shape[2] - 1)).round().long().unbind(-1)
    return lit.flatten(2).gather(2, y * views.shape[2] + x) == 0


def fit_cameras(seen: Look, shapes: cameras.Shapes) -> cameras.Fit | None:
    """Shape and cameras that explain the 2D landmarks; None of a network that was not taught to find any."""
    taught = shapes.modes.any() and seen.points2d.isfinite().any()
    return cameras.fit(seen.points2d, seen.doubt, shapes) if taught else None


def answered(network: FaceNetwork, views: Tensor, twice: bool) -> Tensor:
    """Canonical shapes (B, 106, 3), double precision, on the CPU: fitted to the network's 2D landmarks, or its head's."""
    seen = look(network, views, twice)
    fit = fit_cameras(seen, network.shapes)
    return (seen.points3d if fit is None else fit.shapes).double().cpu()


def predict_rows(
    network: FaceNetwork, store: FaceStore, image_size: int, rows: np.ndarray, batch_size: int, twice: bool = False
) -> np.ndarray:
    """The network's shapes for the given rows of a store, in order: (R, 106, 3); see `answered`."""
    size = 4 * batch_size  # of training; here nothing is kept for a way back
    keys = [[(0, int(row)) for row in rows[start : start + size]] for start in range(0, len(rows), size)]
    network.eval()
    answers = [torch.empty(0, COUNT, 3, dtype=torch.float64)]
    with torch.inference_mode():
        for batch in ahead(Views(store, image_size), keys):
            answers.append(answered(network, batch.views.to(network.shape_mean.device), twice))
    return torch.cat(answers).numpy()


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
        answers.append(predict_rows(trained(folder, made), store, made["image_size"], rows, made["batch_size"], twice=True))
    return np.stack(answers)
