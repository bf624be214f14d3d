"""The costly half of preprocessing, in pieces that survive a kill: read, turn, detect, cut.

A shard is a few samples of one subject in one npz file, whose name is a checksum of all that its content depends
on. So a shard that is there is right, and a subject that is added or changed leaves the others' shards valid.
"""

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from kpl import crop, detect
from kpl.crop import Square, Turn
from kpl.cropping import cutting
from kpl.cropping.cutting import EXCLUDED, FALLBACK, NO_BOX, NO_FACE, Cut
from kpl.cropping.recipes import Recipe
from kpl.files import checksum, read_npz, write_npz
from kpl.reading import pictures

MOST_SAMPLES, MOST_BYTES = 64, 2**26  # a shard is held in memory as a whole
TABLE = ("status", "reason", "score", "roll", "square", "frame", "matrix")

_FORMAT = 2  # to be raised when the same pictures would give other shards


@dataclass(frozen=True)
class Job:
    """How all shards of a store are made."""

    recipe: Recipe
    turn: Turn
    weights: str = ""  # the detector's file


@dataclass(frozen=True)
class Shard:
    """Samples that are computed together: three paths a sample, None where there is no picture, and its boxes or
    None."""

    key: str
    pictures: tuple[tuple[str | None, str | None, str | None], ...]
    boxes: tuple[np.ndarray | None, ...]  # (3, 4) x1 y1 x2 y2 in stored pixels

    def file(self, folder: Path) -> Path:
        return folder / f"{self.key}.npz"


def plan(
    subjects: list[str], samples: list[str], paths: list[tuple], job: Job, boxes: dict | None = None
) -> list[Shard]:
    """Cut the samples, sorted so that a subject's stand together, into shards. boxes: those of the lists, by sample."""
    most = max(1, min(MOST_SAMPLES, MOST_BYTES // (9 * job.recipe.size**2)))
    starts = [0]
    for i in range(1, len(samples)):
        if subjects[i] != subjects[i - 1] or i - starts[-1] == most:
            starts.append(i)
    how = [_FORMAT, asdict(job.recipe) | {"name": ""}, asdict(job.turn), _identity(job.weights), detect.LONGEST_SIDE]
    how += [crop.SIDE, crop.SHIFT_X, crop.SHIFT_Y, crop.TEMPLATE.tolist()]
    listed = [(boxes or {}).get(sample) for sample in samples]
    return [
        Shard(
            checksum(
                how,
                samples[a:b],
                [[_identity(path) for path in row] for row in paths[a:b]],
                [None if box is None else box.tolist() for box in listed[a:b]],
            ),
            tuple(paths[a:b]),
            tuple(listed[a:b]),
        )
        for a, b in zip(starts, starts[1:] + [len(samples)])
    ]


def compute(shards: list[Shard], folder: Path, job: Job, jobs: int) -> None:
    """Write the shards that are not in `folder` yet, in `jobs` processes."""
    missing = [shard for shard in shards if not shard.file(folder).is_file()]
    if not missing:
        return
    # Also for one job: the pictures of a process with one OpenCV thread are the same wherever they are made.
    pool = ProcessPoolExecutor(min(jobs, len(missing)), multiprocessing.get_context("spawn"), _prepare_worker)
    total = sum(len(shard.pictures) for shard in shards)
    left = sum(len(shard.pictures) for shard in missing)
    try:
        futures = {pool.submit(_write, shard, folder, job): shard for shard in missing}
        with tqdm(total=total, initial=total - left, desc="faces", unit="sample", ascii=True, mininterval=1) as bar:
            for future in as_completed(futures):
                future.result()
                bar.update(len(futures[future].pictures))
    finally:
        pool.shutdown(cancel_futures=True)


def read_table(shard: Shard, folder: Path) -> dict[str, np.ndarray]:
    """What was found in the n samples of a shard.

    status and reason (n, 3) as in kpl.cropping.cutting, score and roll (n, 3) float64, square (n, 3, 3) int64 x, y,
    side and frame (n, 3, 2) int64 width and height, both in upright stored pixels, zeros where there is none, and
    matrix (n, 3, 2, 3) float64, from stored pixels into crop units, NaN where there is none.
    """
    return read_npz(shard.file(folder), TABLE)


def read_crops(shard: Shard, folder: Path) -> np.ndarray:
    """The crops of a shard's n samples, (n, 3, S, S, 3) uint8 RGB, zeros where no face was found."""
    return read_npz(shard.file(folder), ("crops",))["crops"]


def empty_table(count: int) -> dict[str, np.ndarray]:
    """The arrays of `read_table` for samples of which nothing is known."""
    return {
        "status": np.full((count, 3), EXCLUDED, dtype="<U8"),
        "reason": np.full((count, 3), "", dtype="<U120"),
        "score": np.full((count, 3), np.nan),
        "roll": np.full((count, 3), np.nan),
        "square": np.zeros((count, 3, 3), np.int64),
        "frame": np.zeros((count, 3, 2), np.int64),
        "matrix": np.full((count, 3, 2, 3), np.nan),
    }


def fill(table: dict[str, np.ndarray], place: tuple[int, int], cut: Cut, picture: pictures.Picture) -> None:
    """Enter a cut of `picture.pixels` into a table, in the picture's stored pixels."""
    height, width = picture.pixels.shape[:2]
    stretch = np.array([picture.size[0] / width, picture.size[1] / height])
    x, y = np.array([cut.square.x, cut.square.y]) * crop.upright_size(*stretch, cut.turn)
    table["status"][place], table["reason"][place] = cut.status, cut.reason
    table["score"][place], table["roll"][place] = cut.score, cut.roll
    table["square"][place] = np.round([x, y, cut.square.side * stretch.mean()])
    table["frame"][place] = crop.upright_size(*picture.size, cut.turn)
    table["matrix"][place] = crop.joined(cut.matrix, np.diag([*(1 / stretch), 1])[:2])


def cut_square(picture: pictures.Picture, square: np.ndarray, job: Job) -> Cut:
    """Cut where no face was found: square (3,) x, y, side in upright stored pixels."""
    scale = max(picture.pixels.shape[:2]) / max(picture.size)
    x, y, side = (round(value * scale) for value in square.tolist())
    return cutting.cut_square(picture.pixels, Square(x, y, max(1, side)), job.recipe, job.turn)


def _identity(path: str | None) -> list | None:
    if not path or not os.path.isfile(path):
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


def _write(shard: Shard, folder: Path, job: Job) -> None:
    size = job.recipe.size
    crops = np.zeros((len(shard.pictures), 3, size, size, 3), np.uint8)
    table = empty_table(len(crops))
    for i, (row, boxes) in enumerate(zip(shard.pictures, shard.boxes)):
        for view, path in enumerate(row):
            try:
                picture = pictures.read(path)
            except pictures.Unusable as reason:
                table["reason"][i, view] = str(reason)
                continue
            cut = _cut(picture, view, boxes, job)
            if cut is not None:
                crops[i, view] = cut.pixels
                fill(table, (i, view), cut, picture)
            else:  # a square is chosen when all samples are known
                table["status"][i, view] = FALLBACK
                table["reason"][i, view] = NO_BOX if job.recipe.detector == "list" else NO_FACE
                table["frame"][i, view] = crop.upright_size(*picture.size, job.turn)
    write_npz(shard.file(folder), crops=crops, **table)


def _cut(picture: pictures.Picture, view: int, boxes: np.ndarray | None, job: Job) -> Cut | None:
    if job.recipe.detector != "list":
        return cutting.cut_face(picture.pixels, view, job.recipe, job.turn, job.weights, picture.exif_quarters)
    if boxes is None:
        return None
    height, width = picture.pixels.shape[:2]
    scale = np.array([width / picture.size[0], height / picture.size[1]] * 2)
    return cutting.cut_box(picture.pixels, boxes[view] * scale, job.recipe, job.turn)
