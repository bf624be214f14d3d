"""One tiny data set and one photographer for all tests of the studio."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kpl import config
from kpl.studio import worker
from kpl.studio.portrait import Photographer

SCALE = 0.1
CACHE = config.path("input/.cache")


def studio_command(out: Path, *options: str) -> list[str]:
    """The command line that makes the tests' data set in `out`; later options win."""
    return [
        sys.executable,
        "-m",
        "kpl.studio",
        "--out",
        str(out),
        "--train-subjects",
        "2",
        "--test-subjects",
        "1",
        "--scale",
        str(SCALE),
        "--seed",
        "3",
        *options,
    ]


def run_studio(out: Path, *options: str) -> subprocess.CompletedProcess:
    """Run the command line to its end."""
    return subprocess.run(studio_command(out, *options), capture_output=True, text=True, env=dict(os.environ))


def contents(folder: Path) -> dict[str, bytes]:
    """All files under `folder`, by their path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="session")
def data_set(tmp_path_factory) -> Path:
    """Two training subjects and one test subject, 7 expressions, 128 x 72 pixels, made by two processes."""
    out = tmp_path_factory.mktemp("studio") / "captures"
    result = run_studio(out, "--jobs", "2")
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture(scope="session")
def photographer() -> Photographer:
    """The same studio as the data set's, in this process."""
    return worker.open_studio(CACHE, SCALE)


@pytest.fixture(scope="session")
def anatomy(photographer):
    """The cached anatomy."""
    return photographer.anatomy


@pytest.fixture(scope="session")
def sitting(photographer):
    """The data set's second training subject."""
    return photographer.sit(3, 2)


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file."""
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)
