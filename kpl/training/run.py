"""The folder of a run: config.json, and in the end weights.safetensors, history.csv, predictions.npz and done.json."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import save
from torch import Tensor

from kpl.config import TrainFold, difference
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import atomic, read_json, write_json, write_npz
from kpl.losses import LOSSES
from kpl.stacking import provenance
from kpl.training import engine

# Parameters that do not change what a run finds.
MAY_CHANGE = {"faces": "", "runs": "", "workers": 0, "tracker": "", "save_every": 0}
KEEP = ("last", "best")


def settings(config: TrainFold, store: FaceStore) -> dict[str, Any]:
    """What stands in config.json."""
    return asdict(replace(config, **MAY_CHANGE)) | {"store": store.fingerprint}


def check(config: TrainFold) -> None:
    """Raise BadInput for the first parameter that makes no run."""
    for name, known in (
        ("loss", LOSSES),
        ("precision", engine.PRECISIONS),
        ("tracker", engine.TRACKERS),
        ("keep", KEEP),
    ):
        if getattr(config, name) not in known:
            raise BadInput(f"unknown {name} {getattr(config, name)!r}: the known ones are {', '.join(known)}.")
    for name in ("image_size", "epochs", "batch_size", "lr", "cycles", "accumulate", "processes"):
        if not getattr(config, name) > 0:
            raise BadInput(f"parameter {name!r} is {getattr(config, name)}: it must be greater than zero.")
    for name in ("weight_decay", "warmup", "patience", "save_every", "workers"):
        if not getattr(config, name) >= 0:
            raise BadInput(f"parameter {name!r} is {getattr(config, name)}: it must not be less than zero.")
    if not 0 <= config.ema < 1:
        raise BadInput(f"parameter 'ema' is {config.ema}: the decay of a moving average lies from 0 (none) to below 1.")
    if not config.warmup < config.epochs:
        raise BadInput(f"a warm-up of {config.warmup:g} epochs leaves nothing of {config.epochs}: take a shorter one.")


def refuse_another(config: TrainFold, store: FaceStore, folder: Path) -> None:
    """Raise BadInput if the folder holds a run with other settings, or of other faces."""
    if not (folder / "config.json").exists():
        return
    saved = read_json(folder / "config.json")
    other = difference(config, saved, ignore=tuple(MAY_CHANGE))
    if not other and saved.get("store") != store.fingerprint:
        other = "other faces"
    if other:
        raise BadInput(f"{folder} holds a run with {other}: give this one another name, or delete that folder.")


def save_results(
    folder: Path,
    store: FaceStore,
    rows: np.ndarray,
    held_out: np.ndarray,
    points: np.ndarray,
    weights: dict[str, Tensor],
    history: pd.DataFrame,
    kept: int,
) -> None:
    """Write a finished run; done.json comes last.

    points: (R, 106, 3) for `rows` of the store; held_out: (N,) whether a row of the store is; kept: the epoch of the
    weights.
    """
    write_npz(
        folder / "predictions.npz",
        samples=store.table["sample"].to_numpy(dtype=str)[rows],
        split=np.where(held_out[rows], "oof", "test"),
        points=points.astype(np.float32),
    )
    with atomic(folder / "weights.safetensors") as temporary:
        temporary.write_bytes(save({name: value.cpu().contiguous() for name, value in weights.items()}))
    with atomic(folder / "history.csv") as temporary:
        history.to_csv(temporary, index=False)
    nme = history["nme"].iloc[kept - 1]
    inputs = provenance.of(store, folder.parents[1] / "folds.csv")
    write_json(folder / "done.json", {"epochs": len(history), "kept": kept, "nme": nme, "inputs": inputs})
