"""A store of faces from the shards of its samples: what needs all of them at once, and the files."""

import logging
import os
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kpl import crop
from kpl.captures import VIEWS
from kpl.cropping import shards
from kpl.cropping.cutting import FALLBACK, NO_BOX, NO_FACE
from kpl.cropping.facestore import COLUMNS, NAMES, load, outcome
from kpl.errors import BadInput
from kpl.files import atomic, checksum, write_json, write_npz
from kpl.landmarks import COUNT
from kpl.reading import pictures

_MOST_WARNINGS = 20
_log = logging.getLogger("kpl")


class Source:
    """Where each shard's content comes from: the store that stood here before, or a file of this run's."""

    def __init__(self, folder: Path, done: dict) -> None:
        counts = done.get("shards", {}) if "orientation" in done else {}
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
        column = {name: rows[[f"{name}{view}" for view in VIEWS]] for name in COLUMNS}
        x, y, side, width, height = (column[name].fillna(0).to_numpy().astype(int) for name in COLUMNS[-5:])
        return {
            "status": column["status"].to_numpy().astype("<U8"),
            "reason": column["reason"].to_numpy().astype("<U120"),
            "score": column["score"].to_numpy(dtype=float),
            "roll": column["roll"].to_numpy(dtype=float),
            "square": np.stack([x, y, side], -1),
            "frame": np.stack([width, height], -1),
            "matrix": self.store.transforms[self.rows[shard.key]],
        }


def assemble(
    folder: Path,
    root: Path,
    samples: pd.DataFrame,
    pieces: list[shards.Shard],
    source: Source,
    job: shards.Job,
    targets: tuple[dict, dict],
    header: dict[str, Any],
) -> None:
    """Write the store from the shards, done.json last, which gets the `header` too. targets: truth and 2D landmarks by
    sample. Raises BadInput if no face was found at all."""
    parts = [source.table(piece) for piece in pieces]
    found = {name: np.concatenate([part[name] for part in parts]) for name in shards.TABLE}
    guessed = (found["status"] == FALLBACK) & np.isin(found["reason"], (NO_FACE, NO_BOX))
    if guessed.any():
        seen = np.isfinite(found["score"])
        if not seen.any() and job.recipe.detector == "list":
            raise BadInput(f"recipe {job.recipe.name} wants list files with face boxes in {root}: there are none.")
        likely = crop.likely_squares(seen, found["square"], found["frame"])
        found["square"] = np.where(guessed[..., None], likely, found["square"])
    for left_over in folder.glob(".*.tmp*"):  # of a killed run
        left_over.unlink()
    with atomic(folder / "crops.npy") as temporary:
        sum_of_crops = _write_crops(temporary, job, pieces, source, found, guessed)
        (folder / "done.json").unlink(missing_ok=True)  # from here on an older store is no more
    table = _table(root, samples, found)
    _say(table)
    with atomic(folder / "faces.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    points3d, points = _targets(samples["sample"], *targets, found["matrix"])
    write_npz(
        folder / "targets.npz",
        samples=samples["sample"].to_numpy(str),
        points3d=points3d,
        points2d=points,
        transforms=found["matrix"],
    )
    counts = {
        "samples": len(table),
        "subjects": int(table["subject"].nunique()),
        "with_truth": int(np.isfinite(points3d).all((1, 2)).sum()),
        "excluded_samples": int((table["outcome"] == "excluded").sum()),
    }
    counts |= {name: (found["status"] == name).sum(0).tolist() for name in ("ok", "fallback", "excluded")}
    parts = (folder / "faces.csv").read_bytes(), sum_of_crops, points3d.tobytes(), points.tobytes()
    shard_sizes = {piece.key: len(piece.pictures) for piece in pieces}
    write_json(
        folder / "done.json", header | {"counts": counts, "fingerprint": checksum(*parts), "shards": shard_sizes}
    )
    shutil.rmtree(source.folder, ignore_errors=True)


def _write_crops(
    path: Path,
    job: shards.Job,
    pieces: list[shards.Shard],
    source: Source,
    found: dict[str, np.ndarray],
    guessed: np.ndarray,
) -> int:
    """Write crops.npy shard by shard, so that memory stays flat; returns a checksum. Guessed squares are cut here."""
    size = job.recipe.size
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(guessed), len(VIEWS), size, size, 3)}
    start = total = 0
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces:
            crops = source.crops(piece)
            rows = slice(start, start + len(crops))
            for i, view in np.argwhere(guessed[rows]):
                place, reason = (start + i, view), str(found["reason"][start + i, view])
                picture = pictures.read(piece.pictures[i][view])
                cut = shards.cut_square(picture, found["square"][place], job)
                crops[i, view] = cut.pixels
                shards.fill(found, place, cut, picture)
                found["reason"][place] = reason
            total = zlib.crc32(crops, total)
            file.write(crops)
            start = rows.stop
    return total


def _table(root: Path, samples: pd.DataFrame, found: dict[str, np.ndarray]) -> pd.DataFrame:
    """faces.csv, with empty fields where there is no number."""
    table = samples[NAMES].copy()
    table["outcome"] = outcome(found["status"], found["score"])
    for view in VIEWS:
        numbers = np.hstack([found["square"][:, view], found["frame"][:, view]])
        for name in ("status", "reason", "score", "roll"):
            table[f"{name}{view}"] = found[name][:, view]
        paths = samples[f"view{view}"]
        table[f"picture{view}"] = [
            "" if path is None else Path(os.path.relpath(path, root)).as_posix() for path in paths
        ]
        for name, values in zip(COLUMNS[-5:], numbers.T):
            table[f"{name}{view}"] = pd.array(values, dtype="Int64")
            table.loc[found["status"][:, view] == "excluded", f"{name}{view}"] = pd.NA
    return table


def _say(table: pd.DataFrame) -> None:
    """A warning for each picture and each sample that is not as it should be."""
    problems = [
        f"{row.sample}: view {view} is {status}: {reason} ({getattr(row, f'picture{view}') or 'no file'})."
        for row in table.itertuples()
        for view in VIEWS
        if (status := getattr(row, f"status{view}")) != "ok" and (reason := getattr(row, f"reason{view}")) != "missing"
    ]
    problems += [
        f"{sample}: fewer than two views show a face; it is not trained on."
        for sample in table.loc[table["outcome"] == "excluded", "sample"]
    ]
    for problem in problems[:_MOST_WARNINGS]:
        _log.warning(problem)
    if len(problems) > _MOST_WARNINGS:
        _log.warning("... and %d more like these: faces.csv has them all.", len(problems) - _MOST_WARNINGS)


def _targets(names: pd.Series, truth: dict, points2d: dict, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 106, 3) canonical and (N, 3, 106, 2) crop units, NaN where unknown."""
    points3d = np.full((len(names), COUNT, 3), np.nan)
    points = np.full((len(names), len(VIEWS), COUNT, 2), np.nan, np.float32)
    for i, name in enumerate(names):
        if name in truth:
            points3d[i] = truth[name]
        for view in VIEWS if name in points2d else ():
            points[i, view] = crop.moved(matrix[i, view], points2d[name][view])
    return points3d, points
