"""The competition's submission file: for each sample its name, then 106 lines `x y z` with six decimals.

python -m kpl.submission check FILE --captures DIR [--split test]    is it complete and well-formed? does it look right?
python -m kpl.submission score FILE --truth PATH [--against FILE]    the official score, of any file in this format
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kpl import landmarks
from kpl.errors import BadInput
from kpl.files import atomic
from kpl.reading import fixed_point

USUAL_SCALE = 1.4  # heads differ less than by this factor
_BLOCK = landmarks.COUNT + 1  # lines a sample
_MOST_SAID = 10


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


def oddities(names: Sequence[str], points: np.ndarray) -> list[str]:
    """One sentence for each shape (N, 106, 3) that is well-formed but hardly meant: mirrored, or of another scale.

    Compared with the mean shape. The score forgives a wrong scale, and punishes a mirrored shape hard.
    """
    centred = points - points.mean(axis=1, keepdims=True)
    mean = landmarks.MEAN_SHAPE - landmarks.MEAN_SHAPE.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=(1, 2)) / (mean**2).sum())
    handed = np.linalg.det(np.einsum("nki,kj->nij", centred, mean))
    said = []
    for name, factor, sign in zip(names, size, handed):
        if sign < 0:
            said.append(f"{name} is mirrored: left and right, or front and back, are exchanged.")
        if not 1 / USUAL_SCALE < factor < USUAL_SCALE:
            said.append(
                f"{name} is {factor:.2f} times as large as the mean shape: the canonical frame has its own scale."
            )
    return said


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


def _check(options: argparse.Namespace) -> None:
    from kpl import captures  # here and below: reading and writing a file should not need them

    table = captures.find(options.captures)
    names = table["sample"][table["split"] == options.split].tolist()
    if not names:
        known = ", ".join(sorted(set(table["split"])))
        raise BadInput(f"{options.captures} has no sample of the split {options.split!r}: --split may be {known}.")
    points = check(options.file, names)
    said = oddities(names, points)
    for sentence in said[:_MOST_SAID]:
        print(f"warning: {sentence}")
    if len(said) > _MOST_SAID:
        print(f"warning: ... and {len(said) - _MOST_SAID} more like these.")
    if len(points) > 1 and np.ptp(points, axis=0).max() == 0:
        print("warning: all samples have one and the same shape.")
    print(f"{options.file}: {len(names)} samples, complete and well-formed")


def _score(options: argparse.Namespace) -> None:
    from kpl import captures, compare, score
    from kpl.reporting import results

    truth = captures.truth(options.truth)
    if not truth:
        raise BadInput(f"{options.truth} holds no truth: give a folder or pickle with {{sample: (106, 3)}}.")
    names, gt = list(truth), np.stack(list(truth.values()))
    subjects = np.array([name.replace("_", "/", 1).split("/", 1)[0] for name in names])
    errors = {}
    for file in filter(None, (options.file, options.against)):
        found = dict(zip(*read(file)))
        missing = [name for name in names if name not in found]
        if missing:
            raise BadInput(f"{file}: {len(missing)} of {len(names)} samples are missing, the first is {missing[0]}.")
        pred = np.stack([found[name] for name in names])
        row = results.row(str(file), "", pred, gt, subjects)
        errors[file] = score.nme(pred, gt)
        print(
            f"{file}: NME {row['nme']:.4f} ({row['nme_low']:.4f} to {row['nme_high']:.4f}), inner {row['inner_nme']:.4f}, "
            f"AUC {row['auc']:.4f}, failures {row['failure_rate']:.2f} %, {len(names)} samples"
        )
    if options.against:
        gain = compare.paired(errors[options.file], errors[options.against], subjects)
        print(f"ratio {gain.ratio:.3f} (95 % interval over subjects {gain.ratio_low:.3f} to {gain.ratio_high:.3f})")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kpl.submission", description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(required=True)
    checking = commands.add_parser("check", help="is it complete and well-formed, and does it look right?")
    checking.add_argument("--captures", type=Path, required=True, help="folder of the captures")
    checking.add_argument("--split", default="test", help="whose samples must be there; default: %(default)s")
    checking.set_defaults(run=_check)
    scoring = commands.add_parser("score", help="the official score, with an interval over subjects")
    scoring.add_argument("--truth", type=Path, required=True, help="folder or pickle")
    scoring.add_argument("--against", type=Path, help="another file, to be compared with on the same samples")
    scoring.set_defaults(run=_score)
    for command in (checking, scoring):
        command.add_argument("file", type=Path, help="predictions in the official format")
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except BadInput as error:
        print(f"kpl.submission: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
