"""From captures to a store of faces, in a run that can be killed and gone on with.

The costly half - read, turn, detect, cut - is done in shards: a few samples each, in one npz file of a folder that is
named by a checksum of all that the store depends on. So a shard that is there is right.
"""

import logging
import multiprocessing
import os
import shutil
import threading
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from joblib import cpu_count
from tqdm import tqdm

from kpl import captures
from kpl.captures import VIEWS, pictures
from kpl.errors import BadInput, warn
from kpl.faces import cutting, geometry, orientation, recipes
from kpl.faces.cutting import EXCLUDED, OK, Cut
from kpl.faces.geometry import LYING, Turn
from kpl.faces.store import COLUMNS, NAMES, FaceStore, load, outcome
from kpl.files import atomic, checksum, read_json, read_npz, write_csv, write_json, write_npz
from kpl.landmarks import COUNT

MOST_SAMPLES = 8  # of a shard, which is held in memory as a whole

# What is known of a picture: its columns of faces.csv, and the matrix from stored pixels into crop units; NaN if unknown.
PLACE, FRAME = ("x", "y", "side"), ("width", "height")
_NUMBERS = [(name, "f8") for name in ("score", "roll", *PLACE, *FRAME)]
FOUND = np.dtype([("status", "U8"), ("reason", "U120"), *_NUMBERS, ("matrix", "f8", (2, 3))])

_SOURCES = [*sorted(Path(__file__).parent.glob("*.py")), Path(pictures.__file__)]
_CODE = checksum(*(path.read_bytes() for path in _SOURCES))
_log = logging.getLogger("kpl")


class Shard(NamedTuple):
    """Samples that are computed together, and how."""

    name: str
    pictures: list[list]  # three paths a sample, None where there is no picture
    boxes: list[np.ndarray | None]  # (3, 4) x1 y1 x2 y2 in stored pixels, of the lists
    recipe: recipes.Recipe
    turn: Turn
    weights: str  # the detector's file


def build(
    root: str | Path,
    folder: str | Path,
    recipe: str = "centerface256",
    size: int = 0,
    jobs: int = 0,
    turn: int = -1,
    side: str = "auto",
    weights: str | Path | None = None,
) -> FaceStore:
    """Find and cut the faces of all captures below `root` into a store in `folder`.

    recipe, size: see kpl.faces.recipes, 0 is the recipe's own size; jobs: processes, 0 is one a core; turn, side:
    see kpl.faces.orientation; weights: RetinaFace's file, see kpl.faces.retinaface. A killed run goes on where it
    stopped; a finished store is left as it is while nothing has changed, and else made anew. What is not as it should
    be is said in warnings and stands in the table. Raises BadInput if the captures cannot be read, a parameter is
    unknown, no picture has a face, or weights are wanted and cannot be had.
    """
    root, folder = Path(root).expanduser().absolute(), Path(folder)
    made, file, sha256 = recipes.get(recipe, size), "", ""
    if made.detector == "retinaface":
        from kpl.faces.retinaface import weights_file  # its imports take seconds

        file, sha256 = weights_file(weights)
    samples, truth, points2d = captures.find(root), captures.truth(root), captures.points2d(root)
    boxes = captures.boxes(root) if made.detector == "list" else {}
    if made.detector == "list" and not boxes:
        raise BadInput(f"recipe {recipe} wants list files with face boxes in {root}: there are none.")
    # The store is looked at first: a finished one is left alone without a single picture being read.
    known = [{name: checksum(each.tobytes()) for name, each in part.items()} for part in (truth, points2d, boxes)]
    how = [_CODE, asdict(made), sha256, turn, side]
    inputs = checksum(how, samples[NAMES].values.tolist(), _identities(samples), known)
    done, unfinished = folder / "done.json", folder / "shards" / inputs
    if done.is_file() and read_json(done).get("inputs") == inputs:
        return load(folder)
    way = orientation.find(samples, turn, side)
    _log.info(way.said)
    if way.swapped:
        samples = samples.rename(columns={"view0": "view2", "view2": "view0"})
        boxes, points2d = ({name: each[[2, 1, 0]] for name, each in named.items()} for named in (boxes, points2d))
    shards = plan(samples, boxes, made, way.turn, str(file))
    compute(shards, unfinished, jobs or cpu_count())
    found, crops = _write_crops(folder, shards, unfinished)
    _write_table(folder / "faces.csv", root, samples, found)
    targets = _write_targets(folder / "targets.npz", samples["sample"], found["matrix"], truth, points2d)
    fingerprint = checksum((folder / "faces.csv").read_bytes(), crops, *targets)
    header = {"recipe": asdict(made), "orientation": way.said, "weights_sha256": sha256, "inputs": inputs}
    write_json(done, header | {"fingerprint": fingerprint})
    shutil.rmtree(folder / "shards", ignore_errors=True)
    return load(folder)


def _identities(samples: pd.DataFrame) -> list:
    """Name, size and time of all pictures."""
    paths = [path for view in VIEWS for path in samples[f"view{view}"]]
    status = [os.stat(path) if path and os.path.isfile(path) else None for path in paths]
    return [each and [os.path.basename(path), each.st_size, each.st_mtime_ns] for path, each in zip(paths, status)]


def plan(
    samples: pd.DataFrame, boxes: dict[str, np.ndarray], recipe: recipes.Recipe, turn: Turn = LYING, weights: str = ""
) -> list[Shard]:
    """Cut the samples, a table as kpl.captures.find returns it, into shards. boxes: those of the lists, by sample."""
    parts = [samples.iloc[start : start + MOST_SAMPLES] for start in range(0, len(samples), MOST_SAMPLES)]
    paths = [part[["view0", "view1", "view2"]].values.tolist() for part in parts]
    listed = [[boxes.get(name) for name in part["sample"]] for part in parts]
    return [Shard(str(i), *each, recipe, turn, weights) for i, each in enumerate(zip(paths, listed))]


def compute(shards: list[Shard], folder: Path, jobs: int) -> None:
    """Write the shards that are not in `folder` yet, in `jobs` processes."""
    missing = [shard for shard in shards if not (folder / f"{shard.name}.npz").is_file()]
    spawn = multiprocessing.get_context("spawn")  # also for one job: one OpenCV thread makes the same everywhere
    with ProcessPoolExecutor(min(jobs, len(missing)) or 1, spawn, prepare_worker) as pool:
        done = pool.map(write, missing, repeat(folder))
        list(tqdm(done, "faces", len(missing), unit="shard", ascii=True, mininterval=1))


def prepare_worker() -> None:
    """One OpenCV thread a process, which ends with its parent: it would wait for work for ever if that was killed."""
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def write(shard: Shard, folder: Path) -> None:
    """Compute one shard: `found` (n, 3) of FOUND, and `crops` (n, 3, S, S, 3) uint8 RGB, zeros where no face is."""
    found = np.zeros((len(shard.pictures), len(VIEWS)), FOUND)
    crops = np.zeros((*found.shape, shard.recipe.size, shard.recipe.size, 3), np.uint8)
    nothing = (np.nan,) * 5  # score to side
    for i, view in np.ndindex(found.shape):
        try:
            picture = pictures.read(shard.pictures[i][view])
        except pictures.Unusable as reason:
            found[i, view] = EXCLUDED, str(reason), *nothing, np.nan, np.nan, np.nan
            continue
        if cut := _cut(picture, view, shard.boxes[i], shard):
            found[i, view], crops[i, view] = _described(cut, picture), cut.pixels
        else:
            reason = "no box in the list" if shard.recipe.detector == "list" else "no face found"
            frame = geometry.upright_size(*picture.size, shard.turn)
            found[i, view] = EXCLUDED, reason, *nothing, *frame, np.nan
    write_npz(folder / f"{shard.name}.npz", found=found, crops=crops)


def _cut(picture: pictures.Picture, view: int, boxes: np.ndarray | None, shard: Shard) -> Cut | None:
    if shard.recipe.detector != "list":
        by_tag = geometry.EXIF[picture.exif - 1]
        turn = shard.turn._replace(mirrored=shard.turn.mirrored != by_tag.mirrored)
        return cutting.cut_face(picture.pixels, view, shard.recipe, turn, shard.weights, by_tag.quarters)
    if boxes is None:
        return None
    scale = np.tile(np.divide(picture.pixels.shape[1::-1], picture.size), 2)
    return cutting.cut_box(picture.pixels, boxes[view] * scale, shard.recipe, shard.turn)


def _described(cut: Cut, picture: pictures.Picture) -> tuple:
    """An entry of FOUND for a cut of `picture.pixels`, in the picture's stored pixels."""
    stretch = np.divide(picture.size, picture.pixels.shape[1::-1])
    corner = np.array(cut.square[:2]) * geometry.upright_size(*stretch, cut.turn)
    place = np.round([*corner, cut.square.side * stretch.mean()])
    matrix = geometry.joined(cut.matrix, np.diag([*(1 / stretch), 1])[:2])
    mirrored = "mirrored as its EXIF tag says" if geometry.EXIF[picture.exif - 1].mirrored else ""
    reason = "; ".join(filter(None, (cut.reason, mirrored, picture.note)))
    return cut.status, reason, cut.score, cut.roll, *place, *geometry.upright_size(*picture.size, cut.turn), matrix


def _write_crops(folder: Path, shards: list[Shard], unfinished: Path) -> tuple[np.ndarray, int]:
    """Write crops.npy shard by shard, so that memory stays flat; returns `found` (N, 3) and a checksum. Raises BadInput if
    there is no face at all."""
    for left_over in folder.glob(".*.tmp*"):  # of a killed run
        left_over.unlink()
    files = [unfinished / f"{shard.name}.npz" for shard in shards]
    found = np.concatenate([read_npz(file, ("found",))["found"] for file in files])
    if not np.isfinite(found["score"]).any():
        raise BadInput("no face was found in any picture: look at them, and give their turn in the parameter 'turn'.")
    size, total = shards[0].recipe.size, 0
    header = {"descr": "|u1", "fortran_order": False, "shape": (*found.shape, size, size, 3)}
    with atomic(folder / "crops.npy") as temporary, open(temporary, "wb") as npy:
        np.lib.format.write_array_header_1_0(npy, header)
        for file in files:
            crops = read_npz(file, ("crops",))["crops"]
            total = zlib.crc32(crops, total)
            npy.write(crops)
        (folder / "done.json").unlink(missing_ok=True)  # from here on an older store is no more
    return found, total


def _write_table(path: Path, root: Path, samples: pd.DataFrame, found: np.ndarray) -> None:
    """Write faces.csv, with empty fields where there is no number, and say which pictures are not as they should be."""
    table = samples[NAMES].assign(outcome=outcome(found["status"], found["score"]))
    problems = []
    for view in VIEWS:
        paths = samples[f"view{view}"]
        files = ["" if path is None else Path(os.path.relpath(path, root)).as_posix() for path in paths]
        for name in COLUMNS:
            table[f"{name}{view}"] = files if name == "picture" else found[name][:, view]
        for sample, file, picture in zip(table["sample"], files, found[:, view]):
            if picture["status"] != OK and file:  # that there is none has been said
                problems.append(f"{sample}: view {view} is {picture['status']}: {picture['reason']} ({file}).")
    for sample in table.loc[table["outcome"] == "excluded", "sample"]:
        problems.append(f"{sample}: fewer than two views show a face; it is not trained on.")
    warn(problems)
    write_csv(path, table.astype({f"{name}{view}": "Int64" for name in PLACE + FRAME for view in VIEWS}))


def _write_targets(path: Path, names: pd.Series, transforms: np.ndarray, truth: dict, points2d: dict) -> list[bytes]:
    """Write targets.npz; returns the bytes of its 3D and 2D points."""
    shape, flat = np.full((COUNT, 3), np.nan), np.full((len(VIEWS), COUNT, 2), np.nan)
    solid = np.array([truth.get(name, shape) for name in names])
    stored = [zip(matrices, points2d.get(name, flat)) for name, matrices in zip(names, transforms)]
    moved = np.array([[geometry.moved(*each) for each in views] for views in stored], np.float32)
    write_npz(path, samples=names.to_numpy(str), points3d=solid, points2d=moved, transforms=transforms)
    return [solid.tobytes(), moved.tobytes()]
