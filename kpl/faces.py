"""From captures to a store of faces (kpl.cropping.facestore), which can be killed, gone on with, and brought up to
date."""

import logging
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from kpl import captures, crop
from kpl.captures import VIEWS
from kpl.cropping import assemble, orientation, recipes, shards
from kpl.cropping.facestore import COLUMNS, NAMES, FaceStore, load
from kpl.files import checksum, read_json

__all__ = ["COLUMNS", "NAMES", "VIEWS", "FaceStore", "build", "load"]

_FORMAT = 2  # to be raised when the same shards would give another store
_EXCHANGED = [2, 1, 0]
_log = logging.getLogger("kpl")


def build(
    root: str | Path,
    folder: str | Path,
    recipe: str = "centerface256",
    size: int = 0,
    jobs: int = 0,
    turn: int = -1,
    side: str = "auto",
    weights: str = "",
) -> FaceStore:
    """Find and cut the faces of all captures below `root` into a store in `folder`.

    recipe, size: see kpl.cropping.recipes, 0 is the recipe's own size; jobs: processes, 0 is one a core; turn, side:
    see kpl.cropping.orientation; weights: RetinaFace's file, see kpl.cropping.retinaface. A killed run goes on where it
    stopped. A finished store is left as it is while nothing has changed, else only what has changed is computed again.
    What is not as it should be is said in warnings and stands in the table. Raises BadInput if the captures cannot be
    read, a parameter is unknown, no picture has a face, or weights are wanted and cannot be had.
    """
    made = recipes.get(recipe, size)
    root, folder = Path(root).expanduser().absolute(), Path(folder)
    if made.detector == "retinaface":
        from kpl.cropping.retinaface import weights_file  # its imports take seconds, and only its own recipes need them

        weights = str(weights_file(weights))
    samples = captures.find(root)
    truth, points2d = captures.truth(root), captures.points2d(root)
    boxes = captures.boxes(root) if made.detector == "list" else {}
    # The store is looked at first: a finished one is left alone without a single picture being read.
    job = shards.Job(made, crop.LYING, weights if made.detector == "retinaface" else "")
    inputs = checksum(
        _FORMAT,
        [asdict(made), turn, side],
        [piece.key for piece in _plan(samples, job, boxes)],
        samples[captures.COLUMNS[:4]].values.tolist(),
        *(value.tobytes() for named in (truth, points2d) for _, value in sorted(named.items())),
        *(sorted(named) for named in (truth, points2d)),
    )
    done = read_json(folder / "done.json") if (folder / "done.json").is_file() else {}
    if done.get("inputs") == inputs:
        return load(folder)
    way = orientation.find(samples, truth, turn, side)
    _log.info(way.said)
    if way.swapped:
        samples = samples.rename(columns={"view0": "view2", "view2": "view0"})
        boxes, points2d = ({name: each[_EXCHANGED] for name, each in named.items()} for named in (boxes, points2d))
    job = shards.Job(made, way.turn, job.weights)
    pieces = _plan(samples, job, boxes)
    source = assemble.Source(folder, done)
    new = [piece for piece in pieces if piece.key not in source.rows]
    shards.compute(new, source.folder, job, jobs or len(os.sched_getaffinity(0)))
    header = {"recipe": asdict(made), "orientation": way.said, "turn": asdict(way.turn) | {"swapped": way.swapped}}
    assemble.assemble(folder, root, samples, pieces, source, job, (truth, points2d), header | {"inputs": inputs})
    return load(folder)


def _plan(samples: pd.DataFrame, job: shards.Job, boxes: dict[str, np.ndarray]) -> list[shards.Shard]:
    paths = list(samples[["view0", "view1", "view2"]].itertuples(index=False, name=None))
    return shards.plan(samples["subject"].tolist(), samples["sample"].tolist(), paths, job, boxes)
