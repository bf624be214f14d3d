"""Training side by side: our loop, the bare step, a textbook PyTorch loop over JPEG files, PyTorch Lightning.

All train the same network on the same samples with the same augmentation, batch size, optimizer and clipping; they take
turns, and every turn has its own seed, so that noise of the machine and of the seed can be told from differences.
samples/s are of training alone: no evaluation, no checkpoint, not the first epoch of a turn.
"""

import argparse
import importlib.util
import shutil
import time

import numpy as np
import pandas as pd
import torch

from kpl import faces
from kpl.bench import report
from kpl.bench.training.contenders import bare_step, bare_timm, lightning, our_loop, textbook
from kpl.bench.training.jpegs import write_jpegs
from kpl.config import ROOT, TrainFold, path
from kpl.errors import BadInput

FOLDER = ROOT / "output" / "bench" / "training"


def main(arguments: list[str]) -> None:
    options = _parse(arguments)
    if "lightning" in options.contenders and importlib.util.find_spec("lightning") is None:
        raise BadInput("PyTorch Lightning is not installed: pip install -r requirements-bench.txt")
    store = faces.load(path(options.faces))
    rows = np.flatnonzero(store.known)[: options.samples]
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_jpegs(store, rows, FOLDER / "jpegs")
    found = []
    for turn in range(options.turns):
        config = _config(options, turn)
        for name in options.contenders:
            started = time.process_time()
            rates, loss, wait = CONTENDERS[name](config, store, rows, FOLDER / "jpegs")
            cpu = (time.process_time() - started) / (len(rows) * options.epochs)
            found.append(
                {"contender": name, "turn": turn, "rate": np.median(rates[1:]), "cpu": cpu, "loss": loss, "wait": wait}
            )
            print(
                f"turn {turn + 1}/{options.turns}: {name}: {found[-1]['rate']:.1f} samples/s, loss {loss:.3f}",
                flush=True,
            )
    print(
        f"\n{options.backbone}, {options.image_size} px, {options.fusion}, batches of {options.batch_size}, "
        f"{len(rows)} samples, {options.epochs} epochs, {torch.get_num_threads()} threads"
    )
    report.publish(table(pd.DataFrame(found)), FOLDER.with_suffix(".csv"))


def table(found: pd.DataFrame) -> pd.DataFrame:
    """One row a contender: samples/s, the ratios to bare step and our loop (medians over turns of what stood side by
    side), the CPU time of this process that a sample took with all that surrounds a run (what a loaded machine does not
    change), the last epoch's loss with its standard deviation over turns, and the share of the time that our steps
    waited."""
    rates = found.pivot(index="turn", columns="contender", values="rate")
    rows = []
    for name, mine in found.groupby("contender", sort=False):
        rows.append({"contender": name, "samples/s": mine["rate"].median()})
        for other in ("bare step", "our loop"):
            if other in rates:
                rows[-1][f"of {other}"] = (rates[name] / rates[other]).median()
        rows[-1]["CPU ms a sample"] = 1000 * mine["cpu"].median()
        rows[-1] |= {"final loss": mine["loss"].mean(), "sd": mine["loss"].std(), "wait %": 100 * mine["wait"].mean()}
    return pd.DataFrame(rows).round(3)


CONTENDERS = {
    "bare timm": bare_timm,
    "bare step": bare_step,
    "our loop": our_loop,
    "textbook": textbook,
    "lightning": lightning,
}


def _config(options: argparse.Namespace, seed: int) -> TrainFold:
    late = options.fusion == "late"
    return TrainFold(
        faces=options.faces, runs=str(FOLDER / f"turn{seed}"), name="ours", backbone=options.backbone,
        image_size=options.image_size, fold=0, folds=2, epochs=options.epochs, batch_size=options.batch_size, lr=options.lr,
        weight_decay=0.01, cycles=1, seed=seed, fusion=options.fusion, share="mirrored" if late else "all",
        head="fc" if late else "linear", dropout=0.1, loss="l1", points2d=0.3 if late else 0.0, view_dropout=0.0, augment=True,
        weights="none", workers=options.workers, accumulate=1, precision="auto", warmup=0.0, ema=0.0, keep="last",
        patience=0, save_every=0, processes=1, tracker="tensorboard",
    )  # fmt: skip


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run_all.sh bench training", description=__doc__.splitlines()[0])
    parser.add_argument("--faces", default="output/faces/centerface256", help="a store of faces with truth")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME")
    parser.add_argument("--backbone", default="hgnetv2_b0")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument(
        "--fusion", default="late", help="late: the default network; average: a backbone and little else"
    )
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--samples", type=int, default=280)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument(
        "--workers", type=int, default=0, help="loader processes of ours and of the two with a DataLoader"
    )
    return parser.parse_args(arguments)
