"""The competition's list files: six lines a sample, for each view its picture, 00133/06/Images/0/t.jpg, then its face
box, 548 174 827 453."""

import math
from pathlib import Path

import numpy as np

from kpl.captures.folders import one_word, place
from kpl.errors import BadInput
from kpl.files import read_text


def read_lists(root: Path) -> dict[str, tuple[str, np.ndarray]]:
    """Sample -> (split, (3, 4) boxes), of train_list.txt, val_list.txt and test_list.txt as far as they are there."""
    found: dict[str, tuple[str, np.ndarray]] = {}
    for path in filter(Path.is_file, (root / f"{split}_list.txt" for split in ("train", "val", "test"))):
        for sample, boxes in read_list(path).items():
            if sample in found:
                raise BadInput(f"{path}: {sample} is also in {found[sample][0]}_list.txt; leave it in one of them.")
            found[sample] = path.name.removesuffix("_list.txt"), boxes
    return found


def read_list(path: Path) -> dict[str, np.ndarray]:
    """One list file, sample -> (3, 4) boxes. Raises BadInput naming the file and line where it is broken."""
    numbered = enumerate(map(str.strip, read_text(path).split("\n")), 1)
    lines = [(f"{path}, line {number}", line) for number, line in numbered if line]
    found: dict[str, list[list[float]]] = {}
    for i, ((where, picture), box) in enumerate(zip(lines[::2], lines[1::2])):
        view, (owner, listed) = i % 3, place(_below(path.parent, picture)) or ("", None)
        if listed != view:
            raise BadInput(f"{where}: {picture!r} is not a picture of view {view}, like 00133/06/Images/{view}/t.jpg.")
        name = one_word(owner)
        if view == 0:
            if name in found:
                raise BadInput(f"{where}: {name} is listed twice.")
            sample, found[name] = name, []
        if name != sample:
            raise BadInput(f"{where}: {picture!r} is not view {view} of {sample}, which began above it.")
        found[sample].append(_box(*box))
    if len(lines) % 6:
        raise BadInput(f"{lines[-1][0]}: the file ends within a sample, which takes six lines, two for each view.")
    return {sample: np.array(boxes) for sample, boxes in found.items()}


def _below(root: Path, picture: str) -> str:
    """A listed picture's place below the root; of an absolute path, the longest end of it that is there."""
    drive = picture[1:2] == ":"
    picture = (picture.replace("\\", "/") if drive or not place(picture) else picture).removeprefix("./")
    if not picture.startswith("/") and not drive:
        return picture
    parts = picture.split("/")
    return next((end for i in range(1, len(parts)) if (root / (end := "/".join(parts[i:]))).exists()), picture)


def _box(where: str, text: str) -> list[float]:
    try:
        x1, y1, x2, y2 = box = [float(part) for part in text.split()]
    except ValueError:
        box = []
    if not box or not all(map(math.isfinite, box)) or x1 >= x2 or y1 >= y2:
        raise BadInput(f"{where}: {text!r} is not a box, four numbers x1 y1 x2 y2 with x1 < x2 and y1 < y2.")
    return box
