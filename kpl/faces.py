"""The store of faces: every sample's three upright crops in one array, and one table that says where they are from.

crops.npy    (N, 3, S, S, 3) uint8 RGB, zeros where a view is missing
faces.csv    sample, subject, expression, split, and for each view v: status{v} (ok, fallback or missing),
             score{v}, x{v}, y{v}, side{v} (the crop's square) and width{v}, height{v}, all in pixels of the
             upright picture; empty where there is none
targets.npz  samples (N,), points3d (N, 106, 3) canonical, points2d (N, 3, 106, 2) in crop units; NaN if unknown
done.json    written last: recipe, counts, and a fingerprint of all of the above
"""

import logging
import os
import shutil
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kpl import captures, crop, recipes, shards
from kpl.errors import BadInput
from kpl.files import atomic, checksum, read_json, read_npz, write_json, write_npz
from kpl.landmarks import COUNT

VIEWS = captures.VIEWS
NAMES = ["sample", "subject", "expression", "split"]
COLUMNS = ["status", "score", "x", "y", "side", "width", "height"]  # of each view

_log = logging.getLogger("kpl")


@dataclass(frozen=True)
class FaceStore:
    """N samples' faces."""

    table: pd.DataFrame  # faces.csv
    crops: np.ndarray  # (N, 3, S, S, 3) uint8 RGB, memory-mapped
    points3d: np.ndarray  # (N, 106, 3) float64, canonical frame, NaN where unknown
    points2d: np.ndarray  # (N, 3, 106, 2) float32, crop units, NaN where unknown
    recipe: dict[str, Any]  # name, detector, size
    folder: Path
    fingerprint: str  # changes with the table, the crops or the targets

    @property
    def known(self) -> np.ndarray:
        """(N,) whether a sample's true shape is known."""
        return np.isfinite(self.points3d).all(axis=(1, 2))


def load(folder: str | Path) -> FaceStore:
    """Open a finished store. Raises BadInput if there is none or it is damaged."""
    folder = Path(folder)
    if not (folder / "done.json").is_file():
        raise BadInput(f"{folder} is no finished store of faces: run 01_preprocess with this folder as 'faces'.")
    done = read_json(folder / "done.json")
    targets = read_npz(folder / "targets.npz", ("samples", "points3d", "points2d"))
    try:
        table = pd.read_csv(
            folder / "faces.csv",
            dtype=dict.fromkeys(NAMES, str),
            keep_default_na=False,
            na_values={f"{name}{view}": [""] for name in COLUMNS[1:] for view in VIEWS},
        )
        crops = np.load(folder / "crops.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BadInput(f"{folder} is damaged ({error}): delete it and run 01_preprocess again.") from None
    if (
        not len(table) == len(crops) == done["counts"]["samples"]
        or table["sample"].tolist() != targets["samples"].tolist()
    ):
        raise BadInput(f"{folder} is damaged (its files do not fit each other): delete it and run 01_preprocess again.")
    return FaceStore(
        table, crops, targets["points3d"], targets["points2d"], done["recipe"], folder, done["fingerprint"]
    )


def build(
    root: str | Path, folder: str | Path, recipe: str = "centerface256", size: int = 0, jobs: int = 0
) -> FaceStore:
    """Detect and crop all captures below `root` into a store in `folder`, with crops of `size` pixels (0: the
    recipe's own), in `jobs` processes (0: one a core).

    A killed run goes on where it stopped. A finished store is left as it is while nothing has changed, else only
    what has changed is computed again. A picture without a face is cut where it should be (see crop.likely_squares)
    and said in a warning, as is one that does not decode. Raises BadInput if the captures cannot be read, no
    picture has a face, or the recipe is unknown.
    """
    made = asdict(recipes.get(recipe, size))
    folder = Path(folder)
    samples = captures.find(root)
    pictures = list(samples[["view0", "view1", "view2"]].itertuples(index=False, name=None))
    pieces = shards.plan(samples["subject"].tolist(), samples["sample"].tolist(), pictures, made["size"])
    targets = captures.truth(root), captures.points2d(root)
    inputs = checksum(
        made,
        [piece.key for piece in pieces],
        samples[NAMES].values.tolist(),
        *(value.tobytes() for named in targets for _, value in sorted(named.items())),
        *(sorted(named) for named in targets),
    )
    old = read_json(folder / "done.json") if (folder / "done.json").is_file() else {}
    if old.get("inputs") != inputs:
        source = _Source(folder, old)
        shards.compute(
            [piece for piece in pieces if piece.key not in source.rows],
            source.folder,
            made["size"],
            jobs or len(os.sched_getaffinity(0)),
        )
        _assemble(folder, made, inputs, samples, pieces, source, *targets)
    return load(folder)


class _Source:
    """Where each shard's content comes from: the store that stood here before, or a file of this run's."""

    def __init__(self, folder: Path, done: dict) -> None:
        counts = done.get("shards", {})
        ends = np.cumsum(list(counts.values())).tolist()
        self.rows = {key: slice(end - count, end) for (key, count), end in zip(counts.items(), ends)}
        self.store = load(folder) if self.rows else None
        self.folder = folder / "shards"

    def crops(self, shard: shards.Shard) -> np.ndarray:
        if shard.key in self.rows:
            return np.array(self.store.crops[self.rows[shard.key]])
        return shards.read_crops(shard, self.folder)

    def table(self, shard: shards.Shard) -> dict[str, np.ndarray]:
        if shard.key not in self.rows:
            return shards.read_table(shard, self.folder)
        rows = self.store.table.iloc[self.rows[shard.key]]
        status, score, *numbers = (rows[[f"{name}{view}" for view in VIEWS]] for name in COLUMNS)
        x, y, side, width, height = (number.fillna(0).to_numpy().astype(int) for number in numbers)
        status = np.where(status == "fallback", shards.NO_FACE, status.to_numpy()).astype("<U8")
        return {
            "status": status,
            "score": score.fillna(0).to_numpy(),
            "square": np.stack([x, y, side], -1),
            "frame": np.stack([width, height], -1),
        }


def _assemble(
    folder: Path,
    recipe: dict,
    inputs: str,
    samples: pd.DataFrame,
    pieces: list[shards.Shard],
    source: _Source,
    truth: dict,
    points2d: dict,
) -> None:
    """Write the store from the shards, done.json last."""
    found = _found(samples, [source.table(piece) for piece in pieces])
    for left_over in folder.glob(".*.tmp*"):  # of a killed run
        left_over.unlink()
    with atomic(folder / "crops.npy") as temporary:
        sum_of_crops = _write_crops(temporary, recipe["size"], samples, pieces, source, found)
        (folder / "done.json").unlink(missing_ok=True)  # from here on an older store is no more
    table = _table(samples, found)
    with atomic(folder / "faces.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    points3d, points = _targets(samples["sample"], truth, points2d, found)
    write_npz(folder / "targets.npz", samples=samples["sample"].to_numpy(str), points3d=points3d, points2d=points)
    write_json(
        folder / "done.json",
        {
            "recipe": recipe,
            "counts": {
                "samples": len(table),
                "subjects": int(table["subject"].nunique()),
                "with_truth": int(np.isfinite(points3d).all((1, 2)).sum()),
            }
            | {name: (found["status"] == name).sum(0).tolist() for name in ("ok", "fallback", "missing")},
            "fingerprint": checksum(
                (folder / "faces.csv").read_bytes(), sum_of_crops, points3d.tobytes(), points.tobytes()
            ),
            "inputs": inputs,
            "shards": {piece.key: len(piece.pictures) for piece in pieces},
        },
    )
    shutil.rmtree(source.folder, ignore_errors=True)


def _found(samples: pd.DataFrame, parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The shards' tables as one, with squares where no face was found; what is wrong is said."""
    found = {name: np.concatenate([part[name] for part in parts]) for name in shards.TABLE}
    lost = found["status"] == shards.NO_FACE
    if lost.any():
        likely = crop.likely_squares(found["status"] == shards.OK, found["square"], found["frame"])
        found["square"] = np.where(lost[..., None], likely, found["square"])
    found["status"] = np.where(lost, "fallback", found["status"])
    for (i, view), status in np.ndenumerate(found["status"]):
        path = samples[f"view{view}"].iloc[i]
        if status == "fallback":
            _log.warning(
                "%s: no face found in view %d (%s); it is cut where faces usually are.",
                samples["sample"].iloc[i],
                view,
                path,
            )
        elif status == "missing" and path is not None:
            _log.warning(
                "%s: the picture of view %d does not decode (%s); it is left black.",
                samples["sample"].iloc[i],
                view,
                path,
            )
    return found


def _write_crops(
    path: Path,
    size: int,
    samples: pd.DataFrame,
    pieces: list[shards.Shard],
    source: _Source,
    found: dict[str, np.ndarray],
) -> int:
    """Write crops.npy shard by shard, so that memory stays flat; returns a checksum."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(samples), len(VIEWS), size, size, 3)}
    start = total = 0
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces:
            crops = source.crops(piece)
            rows = slice(start, start + len(crops))
            for i, view in np.argwhere(found["status"][rows] == "fallback"):
                picture = crop.read_upright(piece.pictures[i][view])
                crops[i, view] = crop.crop(picture, crop.Square(*found["square"][start + i, view].tolist()), size)
            total = zlib.crc32(crops, total)
            file.write(crops)
            start = rows.stop
    return total


def _table(samples: pd.DataFrame, found: dict[str, np.ndarray]) -> pd.DataFrame:
    """faces.csv, with empty fields where there is no number."""
    table = samples[NAMES].copy()
    for view in VIEWS:
        status = found["status"][:, view]
        numbers = np.hstack([found["square"][:, view], found["frame"][:, view]])
        table[f"status{view}"] = status
        table[f"score{view}"] = np.where(status == "ok", found["score"][:, view], np.nan)
        for name, values in zip(COLUMNS[2:], numbers.T):
            table[f"{name}{view}"] = pd.array(values, dtype="Int64")
            table.loc[status == "missing", f"{name}{view}"] = pd.NA
    return table


def _targets(names: pd.Series, truth: dict, points2d: dict, found: dict) -> tuple[np.ndarray, np.ndarray]:
    """(N, 106, 3) canonical and (N, 3, 106, 2) crop units, NaN where unknown."""
    points3d = np.full((len(names), COUNT, 3), np.nan)
    points = np.full((len(names), len(VIEWS), COUNT, 2), np.nan, np.float32)
    for i, name in enumerate(names):
        if name in truth:
            points3d[i] = truth[name]
        for view in VIEWS if name in points2d else ():
            if found["status"][i, view] != "missing":
                upright = crop.upright_points(points2d[name][view], found["frame"][i, view, 0])
                points[i, view] = crop.to_crop(upright, crop.Square(*found["square"][i, view].tolist()))
    return points3d, points
