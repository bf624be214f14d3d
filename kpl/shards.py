"""The costly half of preprocessing, in pieces that survive a kill: decode, turn upright, detect, crop.

A shard is a few samples of one subject in one npz file, whose name is a checksum of all that its content depends
on. So a shard that is there is right, and a subject that is added or changed leaves the others' shards valid.
"""

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from kpl import crop, detect
from kpl.files import checksum, read_npz, write_npz

OK, NO_FACE, MISSING = "ok", "no face", "missing"
MOST_SAMPLES = 64  # a shard is held in memory as a whole
TABLE = ("status", "score", "square", "frame")

_FORMAT = 1  # to be raised when the same pictures would give other shards


@dataclass(frozen=True)
class Shard:
    """Samples that are computed together. `pictures` has three paths a sample, None where there is no picture."""

    key: str
    pictures: tuple[tuple[str | None, str | None, str | None], ...]

    def file(self, folder: Path) -> Path:
        return folder / f"{self.key}.npz"


def plan(subjects: list[str], samples: list[str], pictures: list[tuple], size: int) -> list[Shard]:
    """Cut the samples, sorted so that a subject's stand together, into shards of crops of `size` pixels."""
    starts = [0]
    for i in range(1, len(samples)):
        if subjects[i] != subjects[i - 1] or i - starts[-1] == MOST_SAMPLES:
            starts.append(i)
    recipe = [_FORMAT, size, crop.SIDE, crop.SHIFT_X, crop.SHIFT_Y, detect.LONGEST_SIDE, detect.THRESHOLD]
    return [
        Shard(
            checksum(recipe, samples[a:b], [[_identity(path) for path in row] for row in pictures[a:b]]),
            tuple(pictures[a:b]),
        )
        for a, b in zip(starts, starts[1:] + [len(samples)])
    ]


def compute(shards: list[Shard], folder: Path, size: int, jobs: int) -> None:
    """Write the shards that are not in `folder` yet, in `jobs` processes."""
    missing = [shard for shard in shards if not shard.file(folder).is_file()]
    if not missing:
        return
    # Also for one job: the pictures of a process with one OpenCV thread are the same wherever they are made.
    pool = ProcessPoolExecutor(min(jobs, len(missing)), multiprocessing.get_context("spawn"), _prepare_worker)
    total = sum(len(shard.pictures) for shard in shards)
    left = sum(len(shard.pictures) for shard in missing)
    try:
        futures = {pool.submit(_write, shard, folder, size): shard for shard in missing}
        with tqdm(total=total, initial=total - left, desc="faces", unit="sample", ascii=True, mininterval=1) as bar:
            for future in as_completed(futures):
                future.result()
                bar.update(len(futures[future].pictures))
    finally:
        pool.shutdown(cancel_futures=True)


def read_table(shard: Shard, folder: Path) -> dict[str, np.ndarray]:
    """What was found in the n samples of a shard.

    status (n, 3) OK, NO_FACE or MISSING, score (n, 3) float64, square (n, 3, 3) int64 x, y, side, and frame
    (n, 3, 2) int64 width and height, both in upright pixels; zeros where there is none.
    """
    return read_npz(shard.file(folder), TABLE)


def read_crops(shard: Shard, folder: Path) -> np.ndarray:
    """The crops of a shard's n samples, (n, 3, S, S, 3) uint8 RGB, zeros where no face was found."""
    return read_npz(shard.file(folder), ("crops",))["crops"]


def _identity(path: str | None) -> list | None:
    if path is None or not os.path.isfile(path):
        return None
    status = os.stat(path)
    return [os.path.basename(path), status.st_size, status.st_mtime_ns]


def _prepare_worker() -> None:
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent does not end a spawned process: it would wait for work for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _write(shard: Shard, folder: Path, size: int) -> None:
    count = len(shard.pictures)
    crops = np.zeros((count, 3, size, size, 3), np.uint8)
    status = np.full((count, 3), MISSING, dtype="<U7")
    score = np.zeros((count, 3))
    square = np.zeros((count, 3, 3), np.int64)
    frame = np.zeros((count, 3, 2), np.int64)
    for i, row in enumerate(shard.pictures):
        for view, path in enumerate(row):
            picture = crop.read_upright(path)
            if picture is None:
                continue
            frame[i, view] = picture.shape[1], picture.shape[0]
            faces = detect.centerface(picture)
            status[i, view] = OK if len(faces.scores) else NO_FACE
            if len(faces.scores):
                best = detect.main_face(faces, *frame[i, view])
                cut = crop.square_around(faces.boxes[best], view)
                score[i, view] = round(faces.scores[best], 4)
                square[i, view] = cut.x, cut.y, cut.side
                crops[i, view] = crop.crop(picture, cut, size)
    write_npz(shard.file(folder), crops=crops, status=status, score=score, square=square, frame=frame)
