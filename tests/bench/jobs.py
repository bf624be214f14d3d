"""Many folds at once with one thread each, or one fold at a time with all threads?

`./run_all.sh bench jobs`: every contender trains as many folds as there are cores, so many at once that the cores are
shared out; the contenders take turns. samples/s are those of all folds that train side by side, without the first epoch.
"""

import json
import os
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from bench import report
from kpl.config import path
from kpl.errors import BadInput
from kpl.files import cores

TESTS = Path(__file__).resolve().parents[1]


def main(arguments: list[str]) -> None:
    parser = report.parser("jobs", __doc__)
    parser.add_argument("--faces", default="output/faces/centerface256", help="a store of faces with truth")
    parser.add_argument("--networks", nargs="+", metavar="NAME:PX", default=["hgnetv2_b0:64", "resnet18:64"])
    parser.add_argument("--epochs", type=int, default=3, help="from 2: the first one is not counted")
    parser.add_argument("--rounds", type=int, default=3, help="times that each contender trains its folds")
    options = parser.parse_args(arguments)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn, network, jobs in product(range(options.rounds), options.networks, contenders(cores())):
            backbone, size = network.split(":")
            asked = {
                "faces": str(path(options.faces)),
                "runs": f"{folder}/{turn}",
                "weights": "none",
                "tracker": "none",
            }
            asked |= {"backbone": backbone, "image_size": int(size), "epochs": options.epochs}
            found[network, jobs, turn] = speed(jobs, cores(), asked)
            print(f"{network}, {jobs} at once: {found[network, jobs, turn]:.2f} samples/s", flush=True)
    report.publish(table(pd.Series(found).unstack(), cores()), options.out)


def contenders(count: int) -> list[int]:
    """How many folds train at once on so many cores; the first is what ./run_all.sh does without a GPU."""
    return sorted({count, max(1, count // 2), 1}, reverse=True)


def speed(jobs: int, count: int, parameters: dict) -> float:
    """Samples/s of all folds together, while `count` folds are trained, `jobs` at once, on as many cores."""
    rates = []
    for wave in range(count // jobs):
        names = [f"{parameters['backbone']}_{jobs}_{wave}_{job}" for job in range(jobs)]
        running = [train(parameters | {"name": name}, threads=count // jobs) for name in names]
        for process in running:
            if process.communicate() and process.returncode:
                raise BadInput(f"training {parameters['backbone']} failed: its message is above.")
        files = [Path(parameters["runs"], name, "fold0", "history.csv") for name in names]
        rates.append(sum(pd.read_csv(file)["samples_per_second"].iloc[1:].median() for file in files))
    return float(np.mean(rates))


def train(parameters: dict, threads: int) -> subprocess.Popen:
    """02_train_fold in a process of its own."""
    command = [sys.executable, "-m", "cells", "02_train_fold", json.dumps(parameters)]
    own = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    return subprocess.Popen(command, cwd=TESTS, env=os.environ | own, stdout=subprocess.DEVNULL)


def table(speeds: pd.DataFrame, count: int) -> pd.DataFrame:
    """One row a network and contender; speeds: samples/s, a row for each (network, jobs), a column for each round.

    ratio, with lowest and highest: to one fold at a time, of the same round.
    """
    rows = []
    for (network, jobs), found in speeds.iterrows():
        ratios = found / speeds.loc[network, 1]
        row = {"network": network, "jobs": jobs, "threads": count // jobs, "samples/s": round(found.median(), 2)}
        rows.append(row | {"ratio": ratios.median(), "lowest": ratios.min(), "highest": ratios.max()})
    return pd.DataFrame(rows).round(3)
