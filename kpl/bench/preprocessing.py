"""How fast, how right and how lean preprocessing is: ./run_all.sh bench preprocessing

speed    the whole pipeline against its two costly parts alone, reading and detecting, on the same pictures in the same
         number of processes, in turns: the pipeline cannot be faster than the slower of the two
quality  on captures with 2D landmarks: the share of `ok` in each view, and the overlap of the crops with the landmarks
memory   the pipeline on many pictures (links to the same ones): the largest memory of its processes by pictures done
"""

import argparse
import os
import shutil
import statistics
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from kpl import captures, crop, detect, faces
from kpl.bench.report import publish
from kpl.config import ROOT
from kpl.cropping import detected, shards
from kpl.reading import pictures

RESULTS = ROOT / "output" / "bench"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="./run_all.sh bench preprocessing", description=__doc__.split("\n\n")[0])
    parser.add_argument("--captures", type=Path, default=ROOT / "input" / "studio", help="folder of captures")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["speed", "quality"])
    parser.add_argument("--samples", type=int, default=120, help="samples for the speed (default: 120)")
    parser.add_argument("--rounds", type=int, default=5, help="times that each contender runs (default: 5)")
    parser.add_argument("--pictures", type=int, default=10_000, help="pictures for the memory (default: 10000)")
    parser.add_argument("--jobs", type=int, default=0, help="processes; 0 is one a core")
    options = parser.parse_args(arguments)
    options.jobs = options.jobs or len(os.sched_getaffinity(0))
    for part in options.parts:
        publish(PARTS[part](options), RESULTS / f"preprocessing_{part}.csv")


def speed(options: argparse.Namespace) -> pd.DataFrame:
    """Pictures a second of reading, detecting and the whole, the median of several rounds in turns."""
    samples = captures.find(options.captures).head(options.samples)
    rows = list(samples[["view0", "view1", "view2"]].itertuples(index=False, name=None))
    job = shards.Job(faces.recipes.get("centerface256"), crop.LYING)
    pieces = [
        piece
        for part in np.array_split(np.arange(len(rows)), 4 * options.jobs)  # alike pieces, so that no core idles
        if len(part)
        for piece in shards.plan(["x"] * len(part), [str(i) for i in part], [rows[i] for i in part], job)
    ]
    seconds: dict[str, list[float]] = {"read only": [], "detect only": [], "whole": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(options.jobs, get_context("spawn"), shards._prepare_worker) as pool,
    ):
        contenders = dict(zip(seconds, (_read, _detect, partial(_whole, folder=Path(folder), job=job))))
        for work in contenders.values():
            list(pool.map(work, pieces))  # warm: files are cached, networks are loaded
        for _ in range(options.rounds):
            for name, work in contenders.items():
                started = time.perf_counter()
                inside = list(pool.map(work, pieces))
                waited = time.perf_counter() - started
                seconds[name].append(waited - sum(inside) / options.jobs)
    count = 3 * len(rows)
    bound = [max(read, find) for read, find in zip(seconds["read only"], seconds["detect only"])]
    both = [read + find for read, find in zip(seconds["read only"], seconds["detect only"])]
    table = pd.DataFrame(
        {"what": list(seconds), "pictures_per_s": [count / statistics.median(s) for s in seconds.values()]}
    )
    table["ms_per_picture_and_process"] = 1000 * options.jobs / table["pictures_per_s"]
    for name, reference in (("of_the_slower", bound), ("of_both_in_a_row", both)):
        ratios = [one / other for one, other in zip(reference, seconds["whole"])]
        table[name] = [np.nan, np.nan, statistics.median(ratios)]
    return table.round(3).assign(jobs=options.jobs, pictures=count)


def _read(piece: shards.Shard) -> float:
    for row in piece.pictures:
        for path in row:
            pictures.read(path)
    return 0.0


def _detect(piece: shards.Shard) -> float:
    """Detect in pictures that are read before; returns the seconds that reading took, which are not to count."""
    started = time.perf_counter()
    loaded = [pictures.read(path).pixels for row in piece.pictures for path in row]
    waited = time.perf_counter() - started
    for picture in loaded:
        detect.faces(picture, crop.LYING)
    return waited


def _whole(piece: shards.Shard, folder: Path, job: shards.Job) -> float:
    shards._write(piece, folder, job)
    return 0.0


def quality(options: argparse.Namespace) -> pd.DataFrame:
    """By view: the share of `ok`, and how the crops lie on the 2D landmarks."""
    with tempfile.TemporaryDirectory() as folder:
        store = faces.build(options.captures, folder, size=32, jobs=options.jobs)
        wanted = crop.square_of_points(store.points2d)
        overlap = detected.iou(wanted, np.array([0.0, 0.0, 1.0, 1.0]))
        inside = ((store.points2d >= 0) & (store.points2d <= 1)).all(axis=3)
        rows = [
            {
                "view": view,
                "pictures": len(store.table),
                "ok": (store.table[f"status{view}"] == "ok").mean(),
                "mean_iou": np.nanmean(overlap[:, view]),
                "lowest_iou": np.nanmin(overlap[:, view]),
                "landmarks_inside": inside[np.isfinite(wanted[:, view, 0]), view].mean(),
            }
            for view in faces.VIEWS
        ]
    return pd.DataFrame(rows).round(4)


def memory(options: argparse.Namespace) -> pd.DataFrame:
    """Proportional memory of the pipeline's processes over its run, at tenths of the time."""
    rows = captures.find(options.captures)[["view0", "view1", "view2"]].dropna()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "captures")
        for i in range(-(-options.pictures // 3)):
            for view, path in enumerate(rows.iloc[i % len(rows)]):
                link = root / f"{i // 7:05}/{i % 7 + 1:02}/Images/{view}/t{Path(path).suffix}"
                link.parent.mkdir(parents=True)
                link.symlink_to(path)
        used: list[tuple[int, float, float]] = []
        ended = threading.Event()
        watcher = threading.Thread(target=_watch, args=(Path(folder, "faces/shards"), used, ended))
        watcher.start()
        faces.build(root, Path(folder, "faces"), jobs=options.jobs)
        ended.set()
        watcher.join()
        shutil.rmtree(root)
    parts = [part for part in np.array_split(np.array(used), 10) if len(part)]
    columns = {"shards_done": 0, "main_process_mib": 1, "workers_mib": 2}
    return pd.DataFrame([{name: part[:, i].max() for name, i in columns.items()} for part in parts]).round(0)


def _watch(folder: Path, used: list, ended: threading.Event) -> None:
    """Shards done, and the proportional memory in MiB of this process and of its children, each half second."""
    me = psutil.Process()
    while not ended.wait(0.5):
        done = len(list(folder.glob("[!.]*.npz"))) if folder.is_dir() else 0
        used.append((done, _mib(me), sum(_mib(child) for child in me.children(recursive=True))))


def _mib(process: psutil.Process) -> float:
    try:
        return process.memory_full_info().pss / 2**20
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0


PARTS = {"speed": speed, "quality": quality, "memory": memory}
