"""The score of a validation set's size, all at once, against the loop over samples that the formula suggests.

`./run_all.sh bench score`: 1,900 predictions, as arrays in memory and with the official text file read first. Both
sides take turns; of each the median counts.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import pandas as pd

from kpl import config, score, submission
from kpl.bench import report
from kpl.landmarks import ALIGN, EYE_CENTERS, MEAN_SHAPE


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="./run_all.sh bench score", description=__doc__)
    parser.add_argument("--samples", type=int, default=1900)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out", type=Path, default=config.path("output/bench/score.csv"))
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    gt, pred = (MEAN_SHAPE + rng.normal(0, 0.02, (options.samples, 106, 3)) for _ in range(2))
    names = [f"{i // 25:05d}/{i % 25 + 1:02d}" for i in range(options.samples)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "predictions.txt"
        submission.write(file, names, pred)
        rows = [
            compare("arrays in memory", lambda: loop(pred, gt), lambda: score.nme(pred, gt), options.repeats),
            compare(
                "with the file read",
                lambda: loop(read_by_line(file), gt),
                lambda: score.nme(submission.read(file)[1], gt),
                options.repeats,
            ),
        ]
    report.publish(pd.DataFrame(rows), options.out)


def compare(name: str, theirs, ours, repeats: int) -> dict:
    """A row of the table: both medians in milliseconds, their ratio, the largest difference of the answers."""
    seconds: dict = {theirs: [], ours: []}
    answers = {}
    for _ in range(repeats):
        for function, times in seconds.items():
            started = perf_counter()
            answers[function] = function()
            times.append(perf_counter() - started)
    slow, fast = median(seconds[theirs]), median(seconds[ours])
    return {
        "what": name,
        "loop_ms": round(1000 * slow, 1),
        "kpl_ms": round(1000 * fast, 2),
        "ratio": round(slow / fast, 1),
        "largest_difference": float(np.abs(answers[theirs] - answers[ours]).max()),
    }


def loop(pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """The official NME, one sample after the other: (N, 106, 3) twice -> (N,)."""
    return np.array([nme_of_one(one, other) for one, other in zip(pred, gt)])


def nme_of_one(pred: np.ndarray, gt: np.ndarray) -> float:
    """The official NME of one sample, (106, 3) twice, step by step."""
    pred_center, gt_center = pred[ALIGN].mean(axis=0), gt[ALIGN].mean(axis=0)
    pred_anchor, gt_anchor = pred[ALIGN] - pred_center, gt[ALIGN] - gt_center
    u, _, vt = np.linalg.svd(gt_anchor.T @ pred_anchor)
    rotation = u @ vt
    if np.linalg.det(rotation) < 0:
        rotation[:, 2] *= -1
    scale = np.sqrt((gt_anchor**2).sum(axis=1).mean()) / np.sqrt((pred_anchor**2).sum(axis=1).mean())
    aligned = scale * (pred - pred_center) @ rotation.T + gt_center
    left, right = EYE_CENTERS
    return np.linalg.norm(aligned - gt, axis=1).mean() / np.linalg.norm(gt[left] - gt[right])


def read_by_line(file: Path) -> np.ndarray:
    """The official text, one line after the other: (N, 106, 3)."""
    shapes: list = []
    with open(file) as lines:
        for line in lines:
            words = line.split()
            if len(words) == 1:
                shapes.append([])
            else:
                shapes[-1].append([float(word) for word in words])
    return np.array(shapes)
