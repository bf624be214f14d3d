"""How fast, how right and how lean preprocessing is.

speed    the whole pipeline against its two costly parts alone, reading and detecting, on the same pictures in the same
         number of processes, in turns
quality  on captures with 2D landmarks: the share of `ok` in each view, and the overlap of the crops with the landmarks
memory   the pipeline on many pictures (links to the same ones): the largest memory of its processes by shards done
"""

import argparse
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
from joblib import cpu_count

from bench import report
from kpl import captures, faces
from kpl.captures import VIEWS, pictures
from kpl.config import path
from kpl.faces import assemble, detect, geometry, recipes


def main(arguments: list[str]) -> None:
    parser = report.parser("preprocessing", __doc__)
    parser.add_argument("--captures", type=path, default=path("input/studio"), help="folder of captures")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["speed", "quality"])
    parser.add_argument("--samples", type=int, default=120, help="samples for the speed (default: 120)")
    parser.add_argument("--rounds", type=int, default=5, help="times that each contender runs (default: 5)")
    parser.add_argument("--pictures", type=int, default=10_000, help="pictures for the memory (default: 10000)")
    parser.add_argument("--jobs", type=int, default=cpu_count(), help="processes; default: one a core")
    options = parser.parse_args(arguments)
    for part in options.parts:
        report.publish(PARTS[part](options), options.out.with_name(f"{options.out.stem}_{part}.csv"))


def speed(options: argparse.Namespace) -> pd.DataFrame:
    """Pictures a second of reading, detecting and the whole, the median of several rounds in turns."""
    samples = captures.find(options.captures).head(options.samples)
    pieces = assemble.plan(samples, {}, recipes.get("centerface256"))
    seconds: dict[str, list[float]] = {"read only": [], "detect only": [], "whole": []}
    pool = ProcessPoolExecutor(options.jobs, get_context("spawn"), assemble.prepare_worker)
    with tempfile.TemporaryDirectory() as folder, pool:
        contenders = dict(zip(seconds, (read, find, partial(whole, folder=Path(folder)))))
        for turn in range(-1, options.rounds):  # the first turn warms up
            for name, work in contenders.items():
                started = time.perf_counter()
                not_counted = sum(pool.map(work, pieces)) / options.jobs
                if turn >= 0:
                    seconds[name].append(time.perf_counter() - started - not_counted)
    times, count = pd.DataFrame(seconds), 3 * len(samples)
    table = (count / times.median()).rename_axis("what").reset_index(name="pictures_per_s")
    table["ms_per_picture_and_process"] = 1000 * options.jobs / table["pictures_per_s"]
    parts = times[["read only", "detect only"]]
    for name, bound in {"of_the_slower": parts.max(axis=1), "of_both_in_a_row": parts.sum(axis=1)}.items():
        table[name] = [np.nan, np.nan, (bound / times["whole"]).median()]
    return table.round(3).assign(jobs=options.jobs, pictures=count)


def read(piece: assemble.Shard) -> float:
    """Read a shard's pictures; no second of it is not to count."""
    for picture in np.ravel(piece.pictures):
        pictures.read(picture)
    return 0.0


def find(piece: assemble.Shard) -> float:
    """Detect in pictures that are read before; returns the seconds that reading took, which are not to count."""
    started = time.perf_counter()
    loaded = [pictures.read(picture).pixels for picture in np.ravel(piece.pictures)]
    waited = time.perf_counter() - started
    for picture in loaded:
        detect.faces(picture, geometry.LYING)
    return waited


def whole(piece: assemble.Shard, folder: Path) -> float:
    """Read, detect, cut and write; no second of it is not to count."""
    assemble.write(piece, folder)
    return 0.0


def quality(options: argparse.Namespace) -> pd.DataFrame:
    """By view: the share of `ok`, and how the crops lie on the 2D landmarks."""
    with tempfile.TemporaryDirectory() as folder:
        store = faces.build(options.captures, folder, size=32, jobs=options.jobs)
    wanted = geometry.square_of_points(store.points2d)
    overlap = iou_with_crop(wanted)
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
        for view in VIEWS
    ]
    return pd.DataFrame(rows).round(4)


def iou_with_crop(squares: np.ndarray) -> np.ndarray:
    """Intersection over union of squares (..., 4), x1 y1 x2 y2 in crop units, with the crop itself."""
    shared = np.clip(np.minimum(squares[..., 2:], 1) - np.maximum(squares[..., :2], 0), 0, None).prod(axis=-1)
    return shared / ((squares[..., 2:] - squares[..., :2]).prod(axis=-1) + 1 - shared)


def memory(options: argparse.Namespace) -> pd.DataFrame:
    """Proportional memory of the pipeline's processes over its run, at tenths of the time."""
    rows = captures.find(options.captures)[["view0", "view1", "view2"]].dropna()
    used: list[tuple[int, float, float]] = []
    ended = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "captures")
        for i in range(-(-options.pictures // 3)):
            for view, picture in enumerate(rows.iloc[i % len(rows)]):
                link = root / f"{i // 7:05}/{i % 7 + 1:02}/Images/{view}/t{Path(picture).suffix}"
                link.parent.mkdir(parents=True)
                link.symlink_to(picture)
        watcher = threading.Thread(target=watch, args=(Path(folder, "faces/shards"), used, ended))
        watcher.start()
        faces.build(root, Path(folder, "faces"), jobs=options.jobs)
        ended.set()
        watcher.join()
    parts = [part.max(axis=0) for part in np.array_split(np.array(used), 10) if len(part)]
    return pd.DataFrame(parts, columns=["shards_done", "main_process_mib", "workers_mib"]).round(0)


def watch(folder: Path, used: list, ended: threading.Event) -> None:
    """Shards done, and the proportional memory in MiB of this process and of its children, each half second."""
    me = psutil.Process()
    while not ended.wait(0.5):
        done = len(list(folder.glob("*/[!.]*.npz"))) if folder.is_dir() else 0
        used.append((done, mib(me), sum(mib(child) for child in me.children(recursive=True))))


def mib(process: psutil.Process) -> float:
    """The proportional memory of a process; 0 of one that has ended."""
    try:
        return process.memory_full_info().pss / 2**20
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0


PARTS = {"speed": speed, "quality": quality, "memory": memory}
