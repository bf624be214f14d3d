"""Captures on disk: which samples there are, their pictures, lists, boxes and ground truth.

Two layouts are read, also mixed, in any letter case, as jpg, jpeg, png or bmp:
  competition         <subject>/<expression>/Images/<view>/t.jpg
  Pixel-Face release  <sample>/<view>/t.bmp and <sample>/fusion/gt.mat, <sample> being <subject>/<expression> or
                      one folder like 00133_06
with view 0 left, 1 middle, 2 right. A sample's name is its folder relative to the root, with '/'. At the root may
lie train_list.txt, val_list.txt, test_list.txt (six lines a sample: the three pictures' paths, each followed by its
face box "x1 y1 x2 y2"), pickles of {sample: (106, 3) array}, and points2d.npz. Pictures lie on their side, and
points and boxes are in their pixels: x to the right, y down, (0, 0) the picture's corner, so that the centre of
the first pixel is (0.5, 0.5).
"""

import logging
import os
import zlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.io
from scipy.io.matlab import MatReadError

from kpl.errors import BadInput
from kpl.files import read_npz
from kpl.landmarks import COUNT
from kpl.reading.lists import read_lists
from kpl.reading.unpickle import load_dict

VIEWS = (0, 1, 2)
COLUMNS = ["sample", "subject", "expression", "split", "view0", "view1", "view2"]

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")  # the first of these is taken where there are several
_MOST_WARNINGS = 20
_log = logging.getLogger("kpl")


def find(root: str | Path) -> pd.DataFrame:
    """All samples below `root`: columns sample, subject, expression, split, view0, view1, view2, sorted by sample.

    A view is an absolute path, or None where the picture is missing. A sample that only a list names is kept with
    three None. `split` is that of the list that names the sample; without one, 'train' if its truth is known, else
    'test'. Every sample with a missing picture is said in a warning and in `.attrs["problems"]`. Raises BadInput
    if the folder is not there, holds no sample, or a list is broken.
    """
    root = _folder(root)
    pictures, _ = _scan(root)
    listed = read_lists(root)
    samples = sorted(set(pictures) | set(listed))
    if not pictures:
        raise BadInput(
            f"{root} holds no pictures in a known layout: they must be called"
            " <subject>/<expression>/Images/<0|1|2>/t.jpg or <sample>/<0|1|2>/t.bmp."
        )
    with_truth = _truth(root)[0].keys() if set(samples) - set(listed) else ()
    rows = [
        (
            sample,
            *_subject_expression(root, sample),
            _split(sample, listed, with_truth),
            *(pictures.get(sample, {}).get(view) for view in VIEWS),
        )
        for sample in samples
    ]
    problems = [
        f"{sample}: picture of view {', '.join(missing)} is missing."
        for sample, *_, a, b, c in rows
        if (missing := [str(view) for view, path in zip(VIEWS, (a, b, c)) if path is None])
    ]
    _say(problems)
    table = pd.DataFrame(rows, columns=COLUMNS, dtype=object)
    table.attrs["problems"] = problems
    return table


def truth(root: str | Path) -> dict[str, np.ndarray]:
    """Ground truth, sample -> (106, 3) float64 in the canonical frame; {} where there is none.

    Read from the pickles directly in `root`, then from <sample>/fusion/gt.mat for samples that are in none of
    them; or from the one pickle that `root` is. A malformed sample is said in a warning and left out. Raises
    BadInput for a missing path and for a pickle that is unsafe or no dict.
    """
    found, problems = _truth(Path(root))
    _say(problems)
    return found


def points2d(root: str | Path) -> dict[str, np.ndarray]:
    """2D landmarks, sample -> (3, 106, 2) float64 in pixels of the lying pictures; {} where there is no file.

    Raises BadInput if points2d.npz is damaged or its arrays do not fit each other.
    """
    path = _folder(root) / "points2d.npz"
    if not path.is_file():
        return {}
    arrays = read_npz(path, ("samples", "points"))
    samples, points = arrays["samples"], arrays["points"]
    if samples.dtype.kind != "U" or points.shape != (len(samples), len(VIEWS), COUNT, 2) or points.dtype.kind != "f":
        raise BadInput(
            f"{path} must hold N names 'samples' and (N, 3, {COUNT}, 2) floats 'points', not"
            f" {samples.dtype} {samples.shape} and {points.dtype} {points.shape}."
        )
    return dict(zip(samples.tolist(), points.astype(np.float64)))


def boxes(root: str | Path) -> dict[str, np.ndarray]:
    """The lists' face boxes, sample -> (3, 4) float64, x1 y1 x2 y2 in pixels of the lying pictures.

    Raises BadInput if a list is broken.
    """
    return {sample: box for sample, (_, box) in read_lists(_folder(root)).items()}


def _folder(root: str | Path) -> Path:
    folder = Path(root).expanduser().absolute()
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder: give the one that holds the captures.")
    return folder


def _scan(root: Path) -> tuple[dict[str, dict[int, str]], dict[str, Path]]:
    """Pictures by sample and view, and the gt.mat files by sample."""
    pictures: dict[str, dict[int, str]] = {}
    scans: dict[str, Path] = {}
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        here = Path(folder)
        owner = here.parent.parent if here.parent.name.lower() == "images" else here.parent
        if here.name.lower() == "fusion":
            scans |= {_name(root, owner): here / name for name in files if name.lower() == "gt.mat"}
        if here.name in ("0", "1", "2") and root in here.parents:
            named = sorted(
                (_SUFFIXES.index(path.suffix.lower()), path.name)
                for path in map(Path, files)
                if path.stem.lower() == "t" and path.suffix.lower() in _SUFFIXES
            )
            if named:
                pictures.setdefault(_name(root, owner), {}).setdefault(int(here.name), str(here / named[0][1]))
    return pictures, scans


def _name(root: Path, folder: Path) -> str:
    depth = len(folder.relative_to(root).parts) if folder != root.parent else 0
    if not 1 <= depth <= 2:
        better = "the folder above it" if depth == 0 else f"{folder.parents[1]}"
        raise BadInput(f"{folder} looks like a sample, but {root} is not the folder of its subjects: give {better}.")
    return folder.relative_to(root).as_posix()


def _subject_expression(root: Path, sample: str) -> tuple[str, str]:
    subject, _, expression = sample.partition("/" if "/" in sample else "_")
    return subject, expression


def _split(sample: str, listed: dict, with_truth: Iterable[str]) -> str:
    if sample in listed:
        return listed[sample][0]
    return "train" if sample in with_truth else "test"


def _truth(root: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Truth by sample, and what is wrong with the samples that are left out."""
    found: dict[str, np.ndarray] = {}
    problems: list[str] = []
    folder = None if root.is_file() else _folder(root)
    pickles = [root] if folder is None else sorted(p for p in folder.iterdir() if p.suffix in (".pkl", ".pickle"))
    for path in pickles:
        for sample, points in load_dict(path).items():
            _keep(found, problems, path, sample, points)
    for sample, path in sorted(_scan(folder)[1].items()) if folder else ():
        if sample not in found:
            status = path.stat()
            _keep(found, problems, path, sample, _scan_landmarks(path, status.st_size, status.st_mtime_ns))
    return found, problems


def _keep(found: dict, problems: list, path: Path, sample: str, points: np.ndarray | str) -> None:
    if isinstance(points, str):
        problems.append(f"{sample}: {path} {points}; its truth is left out.")
    elif not isinstance(points, np.ndarray) or points.shape != (COUNT, 3):
        what = f"shape {points.shape}" if isinstance(points, np.ndarray) else f"a {type(points).__name__}"
        problems.append(f"{sample}: the truth in {path} is {what}, not ({COUNT}, 3); it is left out.")
    elif not np.isfinite(points).all():
        problems.append(f"{sample}: the truth in {path} has NaN or infinite coordinates; it is left out.")
    elif sample in found and not np.array_equal(found[sample], points):
        problems.append(f"{sample}: the truth in {path} contradicts a pickle read before; that one's is kept.")
    else:
        found[sample] = points.astype(np.float64)


@cache  # a scan has a million vertices, and find() and truth() both want its 106
def _scan_landmarks(path: Path, size: int, modified: int) -> np.ndarray | str:
    """The (106, 3) landmarks of a Pixel-Face scan, or what is wrong with the file."""
    try:
        scan = scipy.io.loadmat(path, variable_names=["new_kpt_gt_obj"])["new_kpt_gt_obj"][0, 0]
        vertices, indices = np.asarray(scan["v"], float), np.asarray(scan["kpt_ind"]).ravel().astype(int) - 1
    except (MatReadError, OSError, EOFError, LookupError, TypeError, ValueError, RuntimeError, zlib.error) as error:
        return f"is no scan with a struct new_kpt_gt_obj of v and kpt_ind ({error or type(error).__name__})"
    if len(indices) and not 0 <= indices.min() <= indices.max() < len(vertices):
        return f"has landmark indices that are not in 1..{len(vertices)}"
    return vertices[indices]


def _say(problems: list[str]) -> None:
    for problem in problems[:_MOST_WARNINGS]:
        _log.warning(problem)
    if len(problems) > _MOST_WARNINGS:
        _log.warning("... and %d more like these.", len(problems) - _MOST_WARNINGS)
