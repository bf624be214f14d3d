"""The competition's list files: six lines a sample, for each view its picture, 00133/06/Images/0/t.jpg, then its face
box, 548 174 827 453."""

import math
import re
from pathlib import Path

import numpy as np

from kpl.captures.folders import one_word
from kpl.errors import BadInput
from kpl.files import read_text

_PICTURE = re.compile(r"(?:\./)?(.+?)(?:/images)?/([012])/t\.(?:jpg|jpeg|png|bmp)", re.IGNORECASE)


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
        view, match = i % 3, _PICTURE.fullmatch(picture)
        if not match or int(match[2]) != view:
            raise BadInput(f"{where}: {picture!r} is not a picture of view {view}, like 00133/06/Images/{view}/t.jpg.")
        name = one_word(match[1])
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


def _box(where: str, text: str) -> list[float]:
    try:
        x1, y1, x2, y2 = box = [float(part) for part in text.split()]
    except ValueError:
        box = []
    if not box or not all(map(math.isfinite, box)) or x1 >= x2 or y1 >= y2:
        raise BadInput(f"{where}: {text!r} is not a box, four numbers x1 y1 x2 y2 with x1 < x2 and y1 < y2.")
    return box
