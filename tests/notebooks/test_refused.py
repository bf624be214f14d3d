"""What the whole job refuses, and says at once."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import conductor
import numpy as np
import pytest
import run_all

from kpl import config, faces
from kpl.config import ROOT
from kpl.errors import BadInput


@pytest.mark.parametrize(
    "subjects, folds, words",
    [
        (0, 2, "0 subjects' truth is known, and second layers need 3: add captures"),
        (2, 2, "2 subjects' truth is known"),
        (4, 5, "4 subjects with truth cannot make 5 folds: .*or add captures .*--output"),
    ],
)
def test_too_few_subjects_are_said_before_any_training(tiny_faces, tmp_path, subjects, folds, words):
    store = faces.load(tiny_faces)
    known = store.table["subject"][store.has_truth].unique()[:subjects]
    points3d = np.where(store.table["subject"].isin(known).to_numpy()[:, None, None], store.points3d, np.nan)
    own = {"faces": tiny_faces, "runs": tmp_path, "folds": folds}
    p = config.checked(config.TrainFold, config.defaults("02_train_fold") | own)
    with pytest.raises(BadInput, match=words):
        run_all.refuse([(p, replace(store, points3d=points3d))])


def test_the_same_command_twice_at_once_is_refused_in_one_sentence(run_here, tiny_captures, tmp_path):
    with conductor.locked(tmp_path / "output"):
        refused = run_here(tiny_captures, tmp_path / "output")
    last = refused.stderr.strip().splitlines()[-1]
    assert refused.returncode == 1 and "another run works in" in last and "Traceback" not in refused.stderr
    assert not (tmp_path / "output" / "faces").exists()


def test_an_unknown_backbone_is_said_before_anything_is_done(run_here, tiny_captures, tmp_path):
    failed = run_here(tiny_captures, tmp_path / "output", "--backbones", "effb99")
    assert failed.returncode == 1 and "unknown backbone 'effb99'" in failed.stderr and "Traceback" not in failed.stderr


def test_a_failing_stage_names_itself_the_reason_and_its_notebook(run_here, tmp_path):
    (tmp_path / "captures").mkdir()
    failed = run_here(tmp_path / "captures", tmp_path / "output")
    assert failed.returncode == 1
    last = failed.stderr.strip().splitlines()[-1]
    assert "01_preprocess failed" in last and str(tmp_path / "captures") in last and "01_preprocess.ipynb" in last
    assert "Traceback" not in failed.stderr


def test_a_folder_that_is_not_there_is_said_at_once(run_here, tmp_path):
    failed = run_here(tmp_path / "absent", tmp_path / "output")
    assert failed.returncode == 2 and "absent is not a folder" in failed.stderr and not (tmp_path / "output").exists()


def test_help_needs_no_environment():
    path = f"{Path(sys._base_executable).parent}:/usr/bin:/bin"  # a Python that has the standard library only
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PATH": path}
    bare = subprocess.run([ROOT / "run_all.sh", "--help"], capture_output=True, text=True, env=environ, check=False)
    assert bare.returncode == 0, bare.stderr
    options = ("--profile", "--backbones", "--sizes", "--folds", "--data", "--jobs", "--engine", "--address")
    assert all(option in bare.stdout for option in options)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--gpus-per-fold", "1"], "belong to --engine ray"),
        (["--engine", "ray", "--jobs", "2"], "belongs to --engine local"),
        (["--timeout", "0"], "--timeout must be greater than 0"),
        (["--sizes", "16"], "--sizes starts at 32"),
        (["--engine", "slurm"], "invalid choice"),
    ],
)
def test_options_that_do_not_fit_are_said_at_once(run_here, tiny_captures, tmp_path, arguments, words):
    refused = run_here(tiny_captures, tmp_path / "output", *arguments, jobs=False)
    assert refused.returncode == 2 and words in refused.stderr and not (tmp_path / "output").exists()
