"""One network, one image size, one fold: train it, resume it, keep what it found."""

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader
from tqdm import tqdm

from kpl import backbones, build, folds, provenance, score
from kpl.config import TrainFold, difference, path
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import atomic, read_json, write_json, write_npz
from kpl.losses import LOSSES, training_loss
from kpl.networks import FaceNetwork
from kpl.inference import predict_rows
from kpl.views import EpochSampler, Views

log = logging.getLogger("kpl")
MAY_CHANGE = ("faces", "runs", "workers")  # parameters that do not change what a run finds
MAX_GRADIENT_NORM = 5.0


def train_fold(config: TrainFold, store: FaceStore) -> pd.DataFrame:
    """Train one fold and write its run folder: weights.safetensors, config.json, history.csv, predictions.npz, done.json.

    Killed and started again, it goes on after the last finished epoch with the same result; finished, it returns at
    once. Returns the history, one row an epoch. Raises BadInput if the folder holds a run with other settings, or the
    settings cannot be used.
    """
    _check(config)
    folder = config.run_folder
    settings = asdict(replace(config, faces="", runs="", workers=0)) | {"store": store.fingerprint}
    held_out = hold_out(config, store)
    if (folder / "config.json").exists():
        _refuse_other_run(config, settings, folder)
    if (folder / "done.json").exists():
        return pd.read_csv(folder / "history.csv")

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    known = store.known
    train_rows, held_out_rows = np.flatnonzero(known & ~held_out), np.flatnonzero(known & held_out)
    torch.manual_seed(config.seed)
    network = build.untrained(config, store, train_rows, pretrained=_start_from_published(config, folder)).to(device)
    if device.type == "cpu":  # a fifth faster there; on a GPU some backbones gain and some lose much
        network = network.to(memory_format=torch.channels_last)
    if config.weights not in ("auto", "none"):
        backbones.load_weights(network, str(path(config.weights)))
    write_json(folder / "config.json", settings)  # now that the settings are known to make a network
    history = _epochs(config, store, network, train_rows, held_out_rows, folder)
    _save_results(config, network, store, held_out, history)
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    return history


def _check(config: TrainFold) -> None:
    if config.loss not in LOSSES:
        raise BadInput(f"unknown loss {config.loss!r}: the known ones are {', '.join(LOSSES)}.")
    for name in ("image_size", "epochs", "batch_size", "lr", "cycles"):
        if getattr(config, name) <= 0:
            raise BadInput(f"parameter {name!r} is {getattr(config, name)}: it must be greater than zero.")


def hold_out(config: TrainFold, store: FaceStore) -> np.ndarray:
    """(N,) whether a sample with truth belongs to the fold that is held out. Folds are read from <runs>/folds.csv."""
    if not 0 <= config.fold < config.folds:
        raise BadInput(f"fold {config.fold} is not one of the {config.folds} folds: they count from 0.")
    known = store.known
    fold = np.full(len(known), -1)
    subjects = store.table["subject"].to_numpy()[known]
    fold[known] = folds.load_or_make(path(config.runs) / "folds.csv", subjects, config.folds, config.seed)
    return fold == config.fold


def _epochs(
    config: TrainFold,
    store: FaceStore,
    network: FaceNetwork,
    train_rows: np.ndarray,
    held_out_rows: np.ndarray,
    folder: Path,
) -> pd.DataFrame:
    """The epoch loop. Updates `network`, returns the history."""
    device = network.shape_mean.device
    half = torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float16
    steps = -(-len(train_rows) // config.batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    # Stepped once a batch: whole numbers, so that the curve does not drift over long runs.
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
        optimizer, T_0=-(-steps * config.epochs // config.cycles)
    )
    scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda" and half == torch.float16)
    parts = {"network": network, "optimizer": optimizer, "schedule": schedule, "scaler": scaler}
    history = _resume(folder, parts, device)
    views = Views(store, config.image_size, config.augment, config.seed)
    label = f"{config.run_name} fold {config.fold}"
    for epoch in range(len(history), config.epochs):
        started = time.perf_counter()
        # Dropout's draws start afresh each epoch, so a resumed run continues exactly where the killed one stood.
        torch.manual_seed(1_000_003 * config.seed + epoch)
        network.train()
        losses = []
        for batch in _batches(views, EpochSampler(train_rows, epoch, config.seed), config, label, epoch):
            pixels, points3d, points2d = (tensor.to(device, non_blocking=True) for tensor in batch)
            with torch.autocast(device.type, half, enabled=device.type == "cuda"):
                answer = network(pixels)
            loss = training_loss(answer, points3d, points2d, network.shape_scale, config.loss, config.points2d)
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
            scaler.step(optimizer)
            scaler.update()
            schedule.step()
            losses.append(loss.detach())
        train_loss = torch.stack(losses).mean().item()
        if not np.isfinite(train_loss):
            raise BadInput(
                f"{label}: the loss is {train_loss} in epoch {epoch + 1}: lower lr={config.lr}, then start again."
            )
        pred = predict_rows(network, store, config.image_size, held_out_rows, config.batch_size)
        errors = score.nme(pred, store.points3d[held_out_rows])
        history.append(
            {
                "epoch": epoch + 1,
                "loss": train_loss,
                "nme": float(errors.mean()),
                "auc": score.auc(errors),
                "lr": schedule.get_last_lr()[0],
                "seconds": time.perf_counter() - started,
            }
        )
        _checkpoint(folder, parts, history)
        print(
            f"{label}: epoch {epoch + 1}/{config.epochs}, loss {train_loss:.3f}, hold-out NME {errors.mean():.4f}, "
            f"{history[-1]['seconds']:.0f} s",
            flush=True,
        )
    return pd.DataFrame(history)


def _batches(
    views: Views, sampler: EpochSampler, config: TrainFold, label: str, epoch: int
) -> Iterator[list[torch.Tensor]]:
    loader = DataLoader(
        views, config.batch_size, sampler=sampler, num_workers=config.workers, pin_memory=torch.cuda.is_available()
    )
    return tqdm(loader, f"{label}, epoch {epoch + 1}/{config.epochs}", leave=False, delay=5)


def _checkpoint(folder: Path, parts: dict, history: list[dict]) -> None:
    states = {name: part.state_dict() for name, part in parts.items()}
    with atomic(folder / "checkpoint.pt") as temporary:
        torch.save(states | {"history": history}, temporary)


def _resume(folder: Path, parts: dict, device: torch.device) -> list[dict]:
    """Bring `parts` to where a killed run's checkpoint stands; the history until then, [] without a checkpoint."""
    file = folder / "checkpoint.pt"
    if not file.exists():
        return []
    try:
        states = torch.load(file, map_location=device, weights_only=True)
    except Exception as error:  # whatever a damaged file makes the reader raise
        log.warning("%s cannot be read (%s): this fold starts again from its first epoch.", file, error)
        return []
    for name, part in parts.items():
        part.load_state_dict(states[name])
    log.warning("%s: going on after epoch %d.", folder, len(states["history"]))
    return states["history"]


def _refuse_other_run(config: TrainFold, settings: dict, folder: Path) -> None:
    saved = read_json(folder / "config.json")
    other = difference(config, saved, ignore=MAY_CHANGE)
    if not other and saved.get("store") != settings["store"]:
        other = "other faces"
    if other:
        raise BadInput(f"{folder} holds a run with {other}: give this one another name, or delete that folder.")


def _start_from_published(config: TrainFold, folder: Path) -> bool:
    fresh = config.weights == "auto" and not (folder / "checkpoint.pt").exists()
    return fresh and backbones.published_weights_at_hand(config.backbone)


def _save_results(
    config: TrainFold, network: FaceNetwork, store: FaceStore, held_out: np.ndarray, history: pd.DataFrame
) -> None:
    folder = config.run_folder
    rows = np.concatenate([np.flatnonzero(held_out), np.flatnonzero(~store.known)])
    points = predict_rows(network, store, config.image_size, rows, config.batch_size)
    write_npz(
        folder / "predictions.npz",
        samples=store.table["sample"].to_numpy(dtype=str)[rows],
        split=np.where(held_out[rows], "oof", "test"),
        points=points.astype(np.float32),
    )
    with atomic(folder / "weights.safetensors") as temporary:
        save_file({name: value.cpu().contiguous() for name, value in network.state_dict().items()}, temporary)
    with atomic(folder / "history.csv") as temporary:
        history.to_csv(temporary, index=False)
    inputs = provenance.of(store, path(config.runs) / "folds.csv")
    write_json(folder / "done.json", {"epochs": len(history), "nme": history["nme"].iloc[-1], "inputs": inputs})
