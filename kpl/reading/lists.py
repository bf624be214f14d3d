"""The competition's list files: six lines a sample, for each view the picture's path and then its face box.

00133/06/Images/0/t.jpg
548 174 827 453
00133/06/Images/1/t.jpg
...
"""

import math
import re
from pathlib import Path

import numpy as np

from kpl.errors import BadInput

SPLITS = ("train", "val", "test")

_VIEWS = 3
_PICTURE = re.compile(r"(?:\./)?(.+?)(?:/images)?/([012])/t\.(?:jpg|jpeg|png|bmp)", re.IGNORECASE)


def read_list(path: str | Path) -> dict[str, np.ndarray]:
    """One list file, sample -> (3, 4) boxes. Raises BadInput naming the file and line where it is broken."""
    path = Path(path)
    lines = [
        (number, line.strip().replace("\\", "/"))
        for number, line in enumerate(_text(path).splitlines(), start=1)
        if line.strip()
    ]
    found: dict[str, np.ndarray] = {}
    for start in range(0, len(lines), 2 * _VIEWS):
        block = lines[start : start + 2 * _VIEWS]
        if len(block) < 2 * _VIEWS:
            raise BadInput(
                f"{path}, line {block[-1][0]}: the file ends within a sample, which takes six lines, a"
                " picture and its box for each of three views."
            )
        sample = _sample(path, *block[0], 0)
        for view in range(1, _VIEWS):
            number, text = block[2 * view]
            if _sample(path, number, text, view) != sample:
                raise BadInput(
                    f"{path}, line {number}: {text!r} is not view {view} of {sample}, which began on line"
                    f" {block[0][0]}."
                )
        if sample in found:
            raise BadInput(f"{path}, line {block[0][0]}: {sample} is listed twice.")
        found[sample] = np.array([_box(path, *block[2 * view + 1]) for view in range(_VIEWS)])
    return found


def read_lists(root: Path) -> dict[str, tuple[str, np.ndarray]]:
    """Sample -> (split, (3, 4) boxes), of train_list.txt, val_list.txt and test_list.txt as far as they are in
    `root`."""
    found: dict[str, tuple[str, np.ndarray]] = {}
    for split in SPLITS:
        path = root / f"{split}_list.txt"
        for sample, box in (read_list(path) if path.is_file() else {}).items():
            if sample in found:
                raise BadInput(f"{path}: {sample} is also in {found[sample][0]}_list.txt; leave it in one of them.")
            found[sample] = split, box
    return found


def _sample(path: Path, number: int, text: str, view: int) -> str:
    match = _PICTURE.fullmatch(text)
    if not match or int(match[2]) != view:
        raise BadInput(
            f"{path}, line {number}: {text!r} is not a picture of view {view}, like 00133/06/Images/{view}/t.jpg."
        )
    return match[1]


def _box(path: Path, number: int, text: str) -> list[float]:
    try:
        box = [float(part) for part in text.split()]
    except ValueError:
        box = []
    if len(box) != 4 or not all(map(math.isfinite, box)) or box[0] >= box[2] or box[1] >= box[3]:
        raise BadInput(
            f"{path}, line {number}: {text!r} is not a box, four numbers x1 y1 x2 y2 with x1 < x2 and y1 < y2."
        )
    return box


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read as text ({error}).") from None
