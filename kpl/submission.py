"""The competition's submission file: for each sample its name, then 106 lines `x y z` with six decimals."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kpl import fixed_point, landmarks
from kpl.errors import BadInput
from kpl.files import atomic

_BLOCK = landmarks.COUNT + 1  # lines a sample


def write(path: str | Path, names: Sequence[str], points: np.ndarray) -> None:
    """Write samples `names` (N,) with canonical shapes `points` (N, 106, 3), atomically.

    Raises BadInput for an empty or doubled name, one with white space in it, and for numbers that are not finite.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.shape != (len(names), landmarks.COUNT, 3):
        raise BadInput(
            f"{path}: {len(names)} names need points of shape ({len(names)}, {landmarks.COUNT}, 3), not {points.shape}."
        )
    _refuse_doubles(path, names)
    blocks = []
    for name, shape in zip(names, points):
        if len(name.split()) != 1 or name != name.strip():
            raise BadInput(f"{path}: {name!r} cannot be a sample's name: it must be one word.")
        if not np.isfinite(shape).all():
            raise BadInput(f"{path}: sample {name} has a coordinate that is not a finite number.")
        rows = "".join(f"{x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in shape.tolist())
        blocks.append(f"{name}\n{rows}")
    with atomic(path) as temporary:
        temporary.write_text("".join(blocks), encoding="utf-8")


def read(path: str | Path) -> tuple[list[str], np.ndarray]:
    """Read names and shapes (N, 106, 3) float64, in the file's order.

    Strict: raises BadInput naming the line where the format is broken, a number is not finite or a name comes twice.
    Empty lines are allowed at the end of the file only.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise BadInput(f"{path} is missing: run 05_submit to write it.") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}): give a submission file.") from None
    names, points = fixed_point.parse(data) or _line_by_line(path, data)
    _refuse_doubles(path, names)
    return names, points


def _line_by_line(path: str | Path, data: bytes) -> tuple[list[str], np.ndarray]:
    """Any file in the format, however its numbers are written; the first line that breaks it is named."""
    try:
        lines = data.decode("utf-8").rstrip().split("\n")
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not a text file.") from None
    names, rows = [], []
    for number, line in enumerate(lines):
        words = line.split()
        if number % _BLOCK == 0:
            if len(words) != 1:
                raise BadInput(f"{path}, line {number + 1}: a sample's name belongs here, not {line[:60]!r}.")
            names.append(words[0])
        else:
            if len(words) != 3:
                raise BadInput(
                    f"{path}, line {number + 1}: three numbers of sample {names[-1]} belong here, not {line[:60]!r}."
                )
            rows.append(words)
    if len(lines) % _BLOCK:
        raise BadInput(
            f"{path}, line {len(lines)}: the file ends inside sample {names[-1]}, after "
            f"{(len(lines) - 1) % _BLOCK} of its {landmarks.COUNT} landmarks."
        )
    return names, _numbers(path, rows).reshape(len(names), landmarks.COUNT, 3)


def check(path: str | Path, expected: Sequence[str]) -> np.ndarray:
    """Read the file and return its shapes (N, 106, 3) in the order of the `expected` names.

    Raises BadInput unless the file is well-formed and holds every expected sample, and no other.
    """
    names, points = read(path)
    place = {name: i for i, name in enumerate(names)}
    missing = [name for name in expected if name not in place]
    if missing:
        raise BadInput(f"{path}: {len(missing)} of {len(expected)} samples are missing, the first is {missing[0]}.")
    unknown = sorted(set(names) - set(expected))
    if unknown:
        raise BadInput(f"{path}: {len(unknown)} samples do not belong here, the first is {unknown[0]}.")
    return points[[place[name] for name in expected]]


def _numbers(path: str | Path, rows: list[list[str]]) -> np.ndarray:
    """The words of the landmark lines as floats (L, 3)."""
    try:
        numbers = np.array([float(word) for words in rows for word in words]).reshape(-1, 3)
    except ValueError:
        numbers = np.array([[_float_or_nan(word) for word in words] for words in rows])
    wrong = np.flatnonzero(~np.isfinite(numbers).all(axis=1))
    if len(wrong):
        row = int(wrong[0])
        line = row + row // landmarks.COUNT + 2  # a name stands before each sample's rows; lines count from 1
        raise BadInput(f"{path}, line {line}: {' '.join(rows[row])[:60]!r} holds something that is no finite number.")
    return numbers


def _float_or_nan(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")


def _refuse_doubles(path: str | Path, names: Sequence[str]) -> None:
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise BadInput(f"{path}: sample {doubled[0]} comes more than once.")
