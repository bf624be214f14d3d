"""Few samples of one's own: what a training brings that starts from scratch, from ImageNet, or from the released weights.

`./run_all.sh bench few`: the studio takes people whom the released weights do not know, before one rig and by full frames, and a
warm lamp at one side lights them, as in no picture of that training; a network learns from 50, 200 and 800 of their samples, by
about as many steps whatever their number, and is measured on other people.
Beside them stand the released weights as they are. Finished trainings are kept.
"""

import argparse
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cells
import numpy as np
import pandas as pd
from joblib import cpu_count

from bench import report
from kpl import compare, faces, release, released, score
from kpl.config import ROOT, path
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import read_npz, write_csv

SAMPLES, EXPRESSIONS = (50, 200, 800), 7
TESTED = 24  # subjects
EPOCHS = {50: 40, 200: 12, 800: 5}
COMMON = {
    "backbone": "mobilenetv2",
    "image_size": 96,
    "batch_size": 4,
    "points2d": 1.0,
    "tracker": "none",
    "folds": 2,
    "fold": 0,
}
STARTS = {  # what is trained already learns at a third of the rate
    "none": {"lr": 3e-3},
    "packaged": {"lr": 3e-3, "frozen": True},
    "released": {"lr": 1e-3, "frozen": True},
}


def main(arguments: list[str]) -> None:
    parser = report.parser("few", __doc__)
    parser.add_argument("--rig", default="50", help="as python -m kpl.studio takes it")
    parser.add_argument("--samples", type=int, nargs="+", choices=SAMPLES, default=SAMPLES)
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    parser.add_argument("--faces", type=path, help="take these instead of making some; the last subjects are tested")
    parser.add_argument("--epochs", type=int, help="of each, instead of those that make as many steps")
    parser.add_argument("--jobs", type=int, default=cpu_count(), help="trained at once, a thread each")
    options = parser.parse_args(arguments)
    store = faces.load(options.faces) if options.faces else taken(options)
    subjects = store.table["subject"][store.known].unique()
    tested = subjects[-min(TESTED, len(subjects) // 2) :]
    planned = {
        (start, count): plan(store, tested, start, count, options) for start in options.starts for count in options.samples
    }
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(finish, planned.values()))
    rows = np.flatnonzero(store.known & store.table["subject"].isin(tested))
    report.publish(compared(store, rows, planned).round(4), options.out)


def taken(options: argparse.Namespace) -> FaceStore:
    folder = options.out.with_suffix("") / f"captures_{options.rig}"
    people = max(SAMPLES) // EXPRESSIONS + 1 + TESTED
    studio = [
        sys.executable,
        "-m",
        "kpl.studio",
        "--out",
        folder,
        "--rig",
        options.rig,
        "--seed",
        "4242",
        "--test-subjects",
        "0",
    ]
    if subprocess.run([*studio, "--train-subjects", str(people)], check=False, cwd=ROOT).returncode:
        raise BadInput(f"the studio could not make {folder}: its own message is above.")
    return lit(faces.build(folder, folder / "faces"), folder / "faces_lit")


def lit(store: FaceStore, folder: Path) -> FaceStore:
    """The same faces by a warm lamp at their pictures' left."""
    if not (folder / "done.json").exists():
        shutil.copytree(store.folder, folder, ignore=shutil.ignore_patterns("done.json"), dirs_exist_ok=True)
        crops = np.load(folder / "crops.npy", mmap_mode="r+")
        for row, sample in enumerate(store.crops):
            crops[row] = sample * lamp(sample.shape[2])
        crops.flush()
        shutil.copy(store.folder / "done.json", folder)
    return faces.load(folder)


def lamp(size: int) -> np.ndarray:
    """How bright each pixel of a row is, red, green and blue: (size, 3)."""
    return np.linspace(1, 0.3, size)[:, None] * [1.0, 0.8, 0.55]


def plan(store: FaceStore, tested: np.ndarray, start: str, count: int, options: argparse.Namespace) -> dict:
    """The parameters of a training that learns from the first `count` samples' subjects; all others are held out, and the
    tested ones measured."""
    subjects = store.table["subject"][store.known].unique()
    learning = subjects[: max(1, min(round(count / EXPRESSIONS), len(subjects) - len(tested)))]
    runs = options.out.with_suffix("") / f"{store.fingerprint}_{count}"
    folds = pd.DataFrame({"subject": subjects, "fold": np.isin(subjects, learning).astype(int)})
    if not (runs / "folds.csv").exists():
        write_csv(runs / "folds.csv", folds)
    own = {"faces": str(store.folder), "runs": str(runs), "name": start, "weights": start}
    return COMMON | STARTS[start] | own | {"epochs": options.epochs or EPOCHS[count]}


def finish(parameters: dict) -> None:
    if not (folder(parameters) / "done.json").exists() and cells.start("02_train_fold", parameters, threads=1).wait():
        raise BadInput(f"{parameters['name']} on {parameters['runs']} failed: its message is above.")


def folder(parameters: dict) -> Path:
    return Path(parameters["runs"]) / parameters["name"] / "fold0"


def compared(store: FaceStore, rows: np.ndarray, planned: dict[tuple[str, int], dict]) -> pd.DataFrame:
    """A row for each training and for the released weights: scores, and the paired ratio to the latter."""
    names, truth = store.table["sample"].to_numpy(str)[rows], store.points3d[rows]
    subjects = store.table["subject"].to_numpy(str)[rows]
    shapes = {("as released", 0): release.answers(released.load(), store, rows).landmarks}
    for which, parameters in planned.items():
        found = read_npz(folder(parameters) / "predictions.npz", ("samples", "points"))
        shapes[which] = found["points"][pd.Index(found["samples"]).get_indexer(names)].astype(float)
    errors = {which: score.nme(each, truth) for which, each in shapes.items()}
    table = []
    for (start, count), each in shapes.items():
        gain = compare.paired(errors[start, count], errors["as released", 0], subjects)
        row = {"start": start, "samples": count} | compare.row("", "", each, truth, subjects)
        table.append(row | {"to_released": gain.ratio, "low": gain.ratio_low, "high": gain.ratio_high})
    return pd.DataFrame(table).drop(columns=["name", "split"])
