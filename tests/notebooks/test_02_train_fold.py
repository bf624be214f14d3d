"""02_train_fold as papermill runs it: what a person may get wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.mark.parametrize(
    "parameter, value, words",
    [
        ("backbone", "effb99", ["effb99", "effb5", "seresnet152d"]),
        ("bakbone", "effb5", ["bakbone", "backbone", "image_size"]),
        ("augment", "perhaps", ["augment", "perhaps"]),
    ],
)
def test_a_wrong_parameter_fails_with_the_known_ones_named(tiny_faces, tmp_path, parameter, value, words):
    command = [sys.executable, "-m", "papermill", str(NOTEBOOKS / "02_train_fold.ipynb"), str(tmp_path / "out.ipynb")]
    given = {"faces": tiny_faces, "runs": tmp_path / "runs", "folds": 2, parameter: value}
    for name, text in given.items():
        command += ["-p", name, str(text)]
    failed = subprocess.run(command, capture_output=True, text=True, cwd=NOTEBOOKS)
    assert failed.returncode != 0
    assert all(word in failed.stderr for word in words), failed.stderr[-2000:]
