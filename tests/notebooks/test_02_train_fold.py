"""What a person may get wrong in 02_train_fold."""

import subprocess
import sys
from pathlib import Path

import pytest
from cells import run

from kpl.errors import BadInput

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def test_a_wrong_parameter_fails_with_the_known_ones_named_as_papermill_runs_it(tiny_faces, tmp_path):
    command = [sys.executable, "-m", "papermill", str(NOTEBOOKS / "02_train_fold.ipynb"), str(tmp_path / "out.ipynb")]
    given = {"faces": tiny_faces, "runs": tmp_path / "runs", "folds": 2, "bakbone": "effb5"}
    for name, text in given.items():
        command += ["-p", name, str(text)]
    failed = subprocess.run(command, capture_output=True, text=True, cwd=NOTEBOOKS)
    assert failed.returncode != 0
    assert all(word in failed.stderr for word in ("bakbone", "backbone", "image_size")), failed.stderr[-2000:]


@pytest.mark.parametrize(
    "parameter, value, words", [("backbone", "effb99", "effb5.*seresnet152d"), ("augment", "perhaps", "augment")]
)
def test_a_wrong_value_is_said_with_the_known_ones(tiny_faces, tmp_path, parameter, value, words):
    with pytest.raises(BadInput, match=f"(?s){value}.*{words}|{words}.*{value}"):
        run("02_train_fold", faces=tiny_faces, runs=tmp_path / "runs", folds=2, **{parameter: value})
