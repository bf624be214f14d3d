"""The competition's submission file: for each sample its name, then 106 lines `x y z` with six decimals.

python -m kpl.submission check FILE --captures DIR [--split test] [--allow-odd]    is it complete, does it look right?
python -m kpl.submission score FILE --truth PATH [--against FILE]    the official score, of any file in this format
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kpl import captures, compare, landmarks, score
from kpl.errors import BadInput
from kpl.files import atomic, read_text

USUAL_SCALE = 1.4  # heads differ less than by this factor,
USUAL_TURN = 30  # and in the canonical frame by less than these degrees: the baseline's and the studio's, by 8
_BLOCK = landmarks.COUNT + 1  # lines a sample


def write(path: str | Path, names: Sequence[str], points: np.ndarray) -> None:
    """Write samples `names` (N,) with canonical shapes `points` (N, 106, 3), atomically. Raises BadInput if there is none,
    for a name that is no word or comes twice, and for numbers that are not finite."""
    points, wanted = np.asarray(points, dtype=np.float64), (len(names), landmarks.COUNT, 3)
    if points.shape != wanted:
        raise BadInput(f"{path}: {len(names)} names need points of shape {wanted}, not {points.shape}.")
    if not len(names):
        raise BadInput(f"{path}: there is no sample to write.")
    _refuse_doubles(path, names)
    blocks = []
    for name, shape in zip(names, points):
        if not name or name != captures.one_word(name):
            raise BadInput(f"{path}: {name!r} cannot be a sample's name: it must be one word.")
        if not np.isfinite(shape).all():
            raise BadInput(f"{path}: sample {name} has a coordinate that is not a finite number.")
        blocks.append(f"{name}\n" + "".join(f"{x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in shape.tolist()))
    with atomic(path) as temporary:
        temporary.write_text("".join(blocks), encoding="utf-8")


def read(path: str | Path) -> tuple[list[str], np.ndarray]:
    """Read names and shapes (N, 106, 3) float64, in the file's order. Strict: raises BadInput naming the line where the
    format is broken or a number is not finite, if a name comes twice, and for a file without samples. Empty lines are
    allowed at the end of the file only."""
    lines = read_text(path).rstrip().split("\n")
    if lines == [""]:
        raise BadInput(f"{path} is empty: it holds no sample.")
    names: list[str] = []
    rows: list[list[float]] = []
    for number, line in enumerate(lines):
        where, words = f"{path}, line {number + 1}", line.split()
        if number % _BLOCK:
            rows.append(_row(where, words, names[-1]))
        elif len(words) == 1:
            names += words
        else:
            raise BadInput(f"{where}: a sample's name belongs here, not {line[:60]!r}.")
    if short := len(lines) % _BLOCK:
        done = f"after {short - 1} of its {landmarks.COUNT} landmarks"
        raise BadInput(f"{path}, line {len(lines)}: the file ends inside sample {names[-1]}, {done}.")
    _refuse_doubles(path, names)
    return names, np.array(rows).reshape(len(names), landmarks.COUNT, 3)


def check(path: str | Path, expected: Sequence[str]) -> np.ndarray:
    """Read the file's shapes (N, 106, 3) in the order of the `expected` names. Raises BadInput unless it is well-formed
    and holds every expected sample, and no other."""
    names, points = read(path)
    if unknown := sorted(set(names) - set(expected)):
        raise BadInput(f"{path}: {len(unknown)} samples do not belong here, the first is {unknown[0]}.")
    return _in_order(path, names, points, expected)


def oddities(names: Sequence[str], points: np.ndarray) -> list[str]:
    """One sentence for each way in which shapes (N, 106, 3) are well-formed but hardly meant, with how many are so:
    mirrored, turned or scaled against the mean shape (by the rotation of Kabsch 1976), or all the same. The score
    forgives a turn and a scale, and punishes a mirrored shape hard."""
    centred = points - points.mean(axis=1, keepdims=True)
    mean = landmarks.MEAN_SHAPE - landmarks.MEAN_SHAPE.mean(axis=0)
    u, _, vt = np.linalg.svd(centred.transpose(0, 2, 1) @ mean)
    handed = np.linalg.det(u @ vt)  # 1, or -1 where only a reflection fits
    u[:, :, 2] *= handed[:, None]
    cosine = (np.trace(u @ vt, axis1=1, axis2=2) - 1) / 2
    factor = np.sqrt((centred**2).sum(axis=(1, 2)) / (mean**2).sum())
    frame = "x must point to the right, y up and z towards the camera"
    kinds = {
        f"mirrored: {frame}": handed < 0,
        f"turned by more than {USUAL_TURN} degrees: {frame}": (handed > 0) & (cosine < np.cos(np.radians(USUAL_TURN))),
        f"over {USUAL_SCALE} times as large or as small as usual": (factor < 1 / USUAL_SCALE) | (factor > USUAL_SCALE),
        "of one and the same shape": np.full(len(names), len(points) > 1 and np.ptp(points, axis=0).max() == 0),
    }
    said = "{} of {} samples are {} ({}, for one)."
    found = {kind: odd for kind, odd in kinds.items() if odd.any()}
    return [said.format(odd.sum(), len(names), kind, names[odd.argmax()]) for kind, odd in found.items()]


def _row(where: str, words: list[str], name: str) -> list[float]:
    said = repr(" ".join(words)[:60])
    if len(words) != 3:
        raise BadInput(f"{where}: three numbers of sample {name} belong here, not {said}.")
    try:
        row = list(map(float, words))
    except ValueError:
        row = [math.nan]
    if not all(map(math.isfinite, row)):
        raise BadInput(f"{where}: {said} holds something that is no finite number.")
    return row


def _in_order(path: str | Path, names: list[str], points: np.ndarray, wanted: Sequence[str]) -> np.ndarray:
    rows = pd.Index(names).get_indexer(wanted)
    if missing := [name for name, row in zip(wanted, rows) if row < 0]:
        raise BadInput(f"{path}: {len(missing)} of {len(wanted)} samples are missing, the first is {missing[0]}.")
    return points[rows]


def _refuse_doubles(path: str | Path, names: Sequence[str]) -> None:
    if (doubled := pd.Index(names).duplicated()).any():
        raise BadInput(f"{path}: sample {names[doubled.argmax()]} comes more than once.")


def _check(options: argparse.Namespace) -> int:
    table = captures.find(options.captures)
    names = table["sample"][table["split"] == options.split].tolist()
    if not names:
        known = ", ".join(sorted(table["split"].unique()))
        raise BadInput(f"{options.captures} has no sample of the split {options.split!r}: --split may be {known}.")
    said = oddities(names, check(options.file, names))
    for sentence in said:
        print(f"warning: {sentence}")
    print(f"{options.file}: {len(names)} samples, complete and {'odd' if said else 'well-formed'}")
    return 1 if said and not options.allow_odd else 0


def _score(options: argparse.Namespace) -> int:
    truth = captures.truth(options.truth)
    if not truth:
        raise BadInput(f"{options.truth} holds no truth: give a folder or pickle with {{sample: (106, 3)}}.")
    names, gt = list(truth), np.stack(list(truth.values()))
    subjects = np.array([captures.subject_expression(name)[0] for name in names])
    errors = []
    for file in filter(None, (options.file, options.against)):
        pred = _in_order(file, *read(file), names)
        row = compare.row(str(file), "", pred, gt, subjects)
        errors.append(score.nme(pred, gt))
        scores = "NME {nme:.4f} ({nme_low:.4f} to {nme_high:.4f}), inner {inner_nme:.4f}, AUC {auc:.4f}, failures"
        print(f"{file}: {scores.format(**row)} {row['failure_rate']:.2f} %, {len(names)} samples")
    if options.against:
        gain = compare.paired(*errors, subjects)
        print(f"ratio {gain.ratio:.3f} (95 % interval over subjects {gain.ratio_low:.3f} to {gain.ratio_high:.3f})")
    return 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kpl.submission", description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(required=True)
    checking = commands.add_parser("check", help="is it complete and well-formed, and does it look right?")
    checking.add_argument("--captures", type=Path, required=True, help="folder of the captures")
    checking.add_argument("--split", default="test", help="whose samples must be there; default: %(default)s")
    checking.add_argument("--allow-odd", action="store_true", help="only warn of shapes that do not look right")
    checking.set_defaults(run=_check)
    scoring = commands.add_parser("score", help="the official score, with an interval over subjects")
    scoring.add_argument("--truth", type=Path, required=True, help="folder or pickle")
    scoring.add_argument("--against", type=Path, help="another file, to be compared with on the same samples")
    scoring.set_defaults(run=_score)
    for command in (checking, scoring):
        command.add_argument("file", type=Path, help="predictions in the official format")
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except BadInput as error:
        print(f"kpl.submission: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
