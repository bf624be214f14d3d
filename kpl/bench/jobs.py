"""`./run_all.sh bench jobs`: many folds at once with one thread each, or one fold at a time with all threads?

Every contender trains as many folds as there are cores, by the same code and in the environment that the local engine
gives its jobs. The processes of all contenders are started first and wait; then the contenders take turns.
"""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from kpl import faces as face_stores
from kpl.bench.report import publish
from kpl.conduct import local
from kpl.config import ROOT, TrainFold, checked, path
from kpl.errors import BadInput
from kpl.faces import FaceStore


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="./run_all.sh bench jobs", description=__doc__.splitlines()[0])
    parser.add_argument("--faces", default="output/faces/centerface256", help="a store of faces with truth")
    parser.add_argument("--networks", nargs="+", metavar="NAME:PX", default=["hgnetv2_b0:64", "resnet18:64"])
    parser.add_argument("--samples", type=int, default=280, help="samples with truth that a fold is made from")
    parser.add_argument("--rounds", type=int, default=3, help="times that each contender trains its folds")
    parser.add_argument("--out", type=Path, default=ROOT / "output" / "bench" / "jobs.csv")
    parser.add_argument("--worker", nargs=2, metavar=("RUNS", "CORES"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not (path(options.faces) / "done.json").exists():
        raise BadInput(f"{options.faces} is no store of faces: run ./run_all.sh first, or name one with --faces.")
    if options.worker:
        work(options.faces, options.samples, *options.worker)
    else:
        publish(compare(options.faces, options.samples, options.networks, options.rounds), options.out)


def contenders(cores: int) -> list[tuple[int, bool]]:
    """(jobs, whether each is pinned to cores of its own); the first is the local engine's default without a GPU."""
    pinned = [(cores, True)] if cores > 1 else []
    fewer = [(jobs, False) for jobs in sorted({max(1, cores // 2), 1} - {cores}, reverse=True)]
    return [(cores, False), *pinned, *fewer]


def compare(faces: str, samples: int, networks: list[str], rounds: int) -> pd.DataFrame:
    """One row a network and contender: median samples/s over the rounds, and ratio to one job with all threads."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(local.cores()))
    rows = []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        teams = {
            contender: [
                stack.enter_context(
                    start(
                        faces, samples, f"{folder}/{contender[0]}{contender[1]}{job}", share, len(share), contender[1]
                    )
                )
                for job, share in enumerate(np.array_split(cores, contender[0]))
            ]
            for contender in contenders(len(cores))
        }
        for network in networks:
            speeds = {contender: [] for contender in teams}
            for turn in range(-1, rounds):  # the first turn warms up
                for contender, team in teams.items():
                    speed = train(team, network, len(cores))
                    print(
                        f"{network}, {contender[0]} jobs{', pinned' * contender[1]}: {speed:.2f} samples/s", flush=True
                    )
                    if turn >= 0:
                        speeds[contender].append(speed)
            base = speeds[(1, False)]
            rows += [
                {
                    "network": network,
                    "jobs": jobs,
                    "threads": len(cores) // jobs,
                    "pinned": pinned,
                    "samples/s": np.median(found).round(2),
                    "ratio": np.median(np.divide(found, base)).round(3),  # turn by turn: paired
                    "lowest": np.min(np.divide(found, base)).round(3),
                    "highest": np.max(np.divide(found, base)).round(3),
                }
                for (jobs, pinned), found in speeds.items()
            ]
    return pd.DataFrame(rows)


def start(faces: str, samples: int, runs: str, cores: np.ndarray, threads: int, pinned: bool) -> subprocess.Popen:
    """A process that trains one fold for each line it is sent."""
    command = [sys.executable, "-m", "kpl.bench", "jobs", "--faces", faces, "--samples", str(samples)]
    command += ["--worker", runs, ",".join(map(str, cores)) if pinned else ""]
    return subprocess.Popen(
        command,
        env=local.environment(threads),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        bufsize=1,
        cwd=ROOT,
    )


def train(team: list[subprocess.Popen], network: str, folds: int) -> float:
    """Let the team train so many folds, and return its samples/s."""
    started, samples = time.perf_counter(), 0
    for first in range(0, folds, len(team)):
        for process in team:
            process.stdin.write(f"{network}\n")
        for process in team:
            answer = process.stdout.readline()
            if not answer:
                raise BadInput(f"training {network} was killed: try it with 02_train_fold to see why.")
            if not answer.strip().isdigit():
                raise BadInput(f"training {network} failed: {answer.strip()}")
            samples += int(answer)
    return samples / (time.perf_counter() - started)


def work(faces: str, samples: int, runs: str, cores: str) -> None:
    """Train fold 0 for an epoch for each network read from stdin; answer with the number of its samples, or why not."""
    if cores:
        os.sched_setaffinity(0, [int(core) for core in cores.split(",")])
    from kpl.train import hold_out, train_fold

    store = first(face_stores.load(path(faces)), samples)
    for turn, line in enumerate(sys.stdin):
        backbone, size = line.strip().split(":")
        given = {"faces": faces, "runs": f"{runs}/{turn}", "backbone": backbone, "image_size": int(size), "epochs": 1}
        config = checked(TrainFold, notebook_defaults() | given | {"weights": "none"})
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                train_fold(config, store)
            print(int((store.known & ~hold_out(config, store)).sum()), flush=True)
        except BadInput as error:
            print(error, flush=True)


def first(store: FaceStore, count: int) -> FaceStore:
    """The store's first `count` samples with truth."""
    rows = np.flatnonzero(store.known)[:count]
    return replace(
        store,
        table=store.table.iloc[rows].reset_index(drop=True),
        crops=store.crops[rows],
        points3d=store.points3d[rows],
        points2d=store.points2d[rows],
    )


def notebook_defaults() -> dict:
    """The parameters of 02_train_fold as they stand in the notebook."""
    cells = json.loads((ROOT / "notebooks" / "02_train_fold.ipynb").read_text())["cells"]
    source = next("".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", []))
    values: dict = {}
    exec(source, {}, values)  # noqa: S102  our own notebook: plain assignments
    return values
