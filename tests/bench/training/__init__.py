"""Training side by side: our loop, the bare step, a textbook PyTorch loop over JPEG files, PyTorch Lightning.

All train the same network on the same samples with the same augmentation, batch size, optimizer and clipping; they take
turns, and every turn has its own seed, so that noise of the machine and of the seed can be told from differences.
samples/s are of training alone: no evaluation, no checkpoint, not the first epoch of a turn.
"""

import importlib.util
import shutil

import cells
import numpy as np
import pandas as pd
import torch

from bench import report
from bench.training.contenders import bare_step, bare_timm, lightning, our_loop, textbook
from bench.training.jpegs import write_jpegs
from kpl.errors import BadInput

CONTENDERS = {
    "bare timm": bare_timm,
    "bare step": bare_step,
    "our loop": our_loop,
    "textbook": textbook,
    "lightning": lightning,
}


def main(arguments: list[str]) -> None:
    parser = report.parser("training", __doc__)
    add = parser.add_argument
    add("--faces", default="output/faces/centerface256", help="a store of faces with truth; half of it is trained on")
    add("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME")
    add("--backbone", default="hgnetv2_b0")
    add("--image-size", type=int, default=64)
    add("--batch-size", type=int, default=8)
    add("--epochs", type=int, default=4)
    add("--turns", type=int, default=3)
    add("--workers", type=int, default=0, help="loader processes of ours and of the two with a DataLoader")
    options = parser.parse_args(arguments)
    if "lightning" in options.contenders and importlib.util.find_spec("lightning") is None:
        raise BadInput("PyTorch Lightning is not installed: pip install -r requirements-bench.txt")
    folder = options.out.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    asked = {
        name: getattr(options, name) for name in ("faces", "backbone", "image_size", "batch_size", "epochs", "workers")
    }
    found = []
    for turn in range(options.turns):
        own = {"runs": str(folder / f"turn{turn}"), "seed": turn, "folds": 2, "weights": "none", "tracker": "none"}
        done = cells.run("02_train_fold", **asked | own)
        write_jpegs(done["store"], done["train_rows"], folder / "jpegs")
        for name in options.contenders:
            rates, loss, wait = CONTENDERS[name](done, folder / "jpegs")
            found.append({"contender": name, "turn": turn, "rate": np.median(rates[1:]), "loss": loss, "wait": wait})
            print(
                f"turn {turn + 1}/{options.turns}: {name}: {found[-1]['rate']:.1f} samples/s, loss {loss:.3f}",
                flush=True,
            )
    print(
        f"\n{options.backbone}, {options.image_size} px, batches of {options.batch_size}, {torch.get_num_threads()} threads"
    )
    report.publish(table(pd.DataFrame(found)), options.out)


def table(found: pd.DataFrame) -> pd.DataFrame:
    """One row a contender: samples/s, the ratios to bare step and our loop (medians over turns of what stood side by
    side), the last epoch's loss with its standard deviation over turns, and the share of the time that our steps
    waited."""
    rates = found.pivot(index="turn", columns="contender", values="rate")
    rows = []
    for name, mine in found.groupby("contender", sort=False):
        rows.append({"contender": name, "samples/s": mine["rate"].median()})
        for other in ("bare step", "our loop"):
            if other in rates:
                rows[-1][f"of {other}"] = (rates[name] / rates[other]).median()
        rows[-1] |= {"final loss": mine["loss"].mean(), "sd": mine["loss"].std(), "wait %": 100 * mine["wait"].mean()}
    return pd.DataFrame(rows).round(3)
