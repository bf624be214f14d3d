"""Captures on disk: which samples there are, their pictures, lists, boxes and ground truth.

These layouts are read, also mixed, in any letter case, in all usual types of pictures; links are followed:
  competition         <subject>/<expression>/Images/<view>/t.jpg
  Pixel-Face release  <sample>/<view>/t.bmp and <sample>/fusion/gt.mat, <sample> being <subject>/<expression> or
                      one folder like 00133_06
  one's own           <sample>/<view>.jpg, <sample>_<view>.jpg, or <sample>/<view>/ with a picture of any name
with view 0 or left, 1 or middle, 2 or right. A sample's name is its folder relative to the root, with '/'; white space in it is
written as in URLs (%20), here and in whatever names it, since a submission cannot hold it. At the root may lie
train_list.txt, val_list.txt, test_list.txt (six lines a sample: the three pictures' paths, each followed by its face box
"x1 y1 x2 y2"), pickles of {sample: (106, 3) array}, and points2d.npz. Pictures lie on their side, and points and boxes
are in their pixels: x to the right, y down, (0, 0) the picture's corner, so that the centre of the first pixel is
(0.5, 0.5).
"""

from pathlib import Path

import numpy as np
import pandas as pd

from kpl.captures import truths
from kpl.captures.folders import TYPES, VIEWS, files, one_word, subject_expression, walk
from kpl.captures.lists import read_lists
from kpl.errors import BadInput, warn
from kpl.files import read_npz
from kpl.landmarks import COUNT

COLUMNS = ["sample", "subject", "expression", "split", "view0", "view1", "view2"]


def find(root: str | Path) -> pd.DataFrame:
    """All samples below `root`: columns sample, subject, expression, split, view0, view1, view2, sorted by sample.

    A view is an absolute path, or None where the picture is missing. A sample that only a list names is kept with
    three None. `split` is that of the list that names the sample; without one, 'train' if its truth is known, else
    'test'. Names that are not their folders' and samples with a missing picture are said in warnings and in
    `.attrs["problems"]`. Raises BadInput if the folder is not there, holds no sample, or a list is broken.
    """
    root = _folder(root)
    samples = {name: sample for name, sample in walk(root).items() if sample.pictures}
    if not samples:
        stray = next((file for file in files(root) if file.lower().endswith(tuple(f".{kind}" for kind in TYPES))), "")
        said = f"pictures in no known layout, {stray} for one" if stray else "no pictures"
        sample = Path(stray).parent.as_posix() if "/" in stray else "anna"
        raise BadInput(f"{root} holds {said}: call three of a face {sample}/left.jpg, middle.jpg and right.jpg, say.")
    listed = {name: split for name, (split, _) in read_lists(root).items()}
    known = truths.read(root)[0] if samples.keys() - listed.keys() else {}
    rows, problems = [], []
    if new := [f"{sample.folder} is {name}" for name, sample in samples.items() if sample.folder != root / name]:
        problems.append(f"{len(new)} names have white space, which a submission cannot hold: {new[0]}, for one.")
    for name in sorted(samples.keys() | listed.keys()):
        split = listed.get(name) or ("train" if name in known else "test")
        pictures = samples[name].pictures if name in samples else {}
        views = [pictures.get(view) for view in VIEWS]
        rows.append((name, *subject_expression(name), split, *views))
        if missing := [str(view) for view in VIEWS if views[view] is None]:
            problems.append(f"{name}: picture of view {', '.join(missing)} is missing.")
    warn(problems)
    table = pd.DataFrame(rows, columns=COLUMNS, dtype=object)
    table.attrs["problems"] = problems
    return table


def truth(root: str | Path) -> dict[str, np.ndarray]:
    """Ground truth, sample -> (106, 3) float64 in the canonical frame; {} where there is none.

    Read from the pickles directly in `root`, then from <sample>/fusion/gt.mat for samples that are in none of them; or
    from the one pickle that `root` is. A malformed sample is said in a warning and left out. Raises BadInput for a
    missing path and for a pickle that is unsafe or no dict.
    """
    path = Path(root).expanduser()
    found, problems = truths.read(path if path.is_file() else _folder(path))
    warn(problems)
    return found


def points2d(root: str | Path) -> dict[str, np.ndarray]:
    """2D landmarks, sample -> (3, 106, 2) float64 in pixels of the lying pictures; {} where there is no points2d.npz.
    Raises BadInput if it is damaged or its arrays do not fit each other."""
    path = _folder(root) / "points2d.npz"
    if not path.is_file():
        return {}
    samples, points = read_npz(path, ("samples", "points")).values()
    if points.shape != (len(samples), len(VIEWS), COUNT, 2):
        raise BadInput(f"{path} must hold N names 'samples' and (N, 3, {COUNT}, 2) 'points', not {points.shape}.")
    return dict(zip(map(one_word, samples.tolist()), points.astype(np.float64)))


def boxes(root: str | Path) -> dict[str, np.ndarray]:
    """The lists' face boxes, sample -> (3, 4) float64, x1 y1 x2 y2 in pixels of the lying pictures. Raises BadInput if a
    list is broken."""
    return {sample: box for sample, (_, box) in read_lists(_folder(root)).items()}


def _folder(root: str | Path) -> Path:
    folder = Path(root).expanduser().absolute()
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder: give the one that holds the captures.")
    return folder
