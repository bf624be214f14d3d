"""What several tests share. Only what is costly to make lies here."""

import os
import subprocess
import sys
from pathlib import Path

# One thread a process, here and in what the tests start: the tests themselves run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib
import pytest
from cells import run

from kpl import faces

matplotlib.use("Agg")


@pytest.fixture(scope="session")
def tiny_captures(tmp_path_factory) -> Path:
    """A studio data set: 5 training and 2 test subjects with 7 expressions, 320 x 180 pixels. Not to be written to."""
    folder = tmp_path_factory.mktemp("studio") / "captures"
    command = [
        sys.executable,
        "-m",
        "kpl.studio",
        "--out",
        str(folder),
        "--train-subjects",
        "5",
        "--test-subjects",
        "2",
        "--scale",
        "0.25",
        "--seed",
        "7",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture(scope="session")
def tiny_faces(tiny_captures, tmp_path_factory) -> Path:
    """The store of `tiny_captures`' faces, 96 pixels. Not to be written to."""
    folder = tmp_path_factory.mktemp("faces") / "centerface256_96"
    faces.build(tiny_captures, folder, size=96, jobs=1)
    return folder


@pytest.fixture(scope="session")
def tiny_runs(tiny_faces, tmp_path_factory) -> Path:
    """A runs folder with one tiny network, `small`, trained in both of two folds for one epoch. Not to be written
    to."""
    folder = tmp_path_factory.mktemp("runs")
    settings = {"backbone": "mobilenetv3", "image_size": 32, "epochs": 1, "weights": "none", "view_dropout": 0.3}
    for fold in range(2):
        run("02_train_fold", faces=tiny_faces, runs=folder, name="small", fold=fold, folds=2, **settings)
    return folder
