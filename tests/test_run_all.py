"""The whole job, as a person runs it: every notebook with tiny parameters on a small studio data set."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pandas as pd
import pytest

from kpl import captures, score, submission

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
TINY = ["--profile", "tiny", "--jobs", "2"]


def run_all(data: Path, output: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        str(NOTEBOOKS / "run_all.py"),
        *TINY,
        "--data",
        str(data),
        "--output",
        str(output),
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def papermill(notebook: str, executed: Path, cwd: Path, **parameters) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(NOTEBOOKS / f"{notebook}.ipynb"),
        str(executed),
        "--no-progress-bar",
    ]
    for name, value in parameters.items():
        command += ["-p", name, str(value)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


@pytest.fixture(scope="module")
def finished(tiny_captures, tmp_path_factory):
    """The output folder of a whole tiny run that was killed in the middle of training and started again."""
    output = tmp_path_factory.mktemp("output")
    command = [
        sys.executable,
        str(NOTEBOOKS / "run_all.py"),
        *TINY,
        "--data",
        str(tiny_captures),
        "--output",
        str(output),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, start_new_session=True
    )
    for line in process.stdout:
        if "epoch 1/" in line:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (output / "submission.txt").exists()
    time.sleep(2)  # kernels notice that their parent is gone
    again = run_all(tiny_captures, output)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "01_preprocess: finished before" in again.stdout
    return output, again.stdout


def test_the_submission_is_valid_and_covers_the_test_samples(finished, tiny_captures):
    output, _ = finished
    table = captures.find(tiny_captures)
    names = table["sample"][table["split"] == "test"].tolist()
    assert submission.check(output / "submission.txt", names).shape == (len(names), 106, 3)
    assert (output / "report.html").stat().st_size > 10_000


def test_the_results_table_says_what_was_submitted(finished, tiny_captures):
    output, printed = finished
    results = pd.read_csv(output / "results.csv")
    assert list(results.columns) == ["name", "split", "nme", "nme_low", "nme_high", "inner_nme", "auc", "failure_rate"]
    for split in ("oof", "test"):
        names = set(results["name"][results["split"] == split])
        assert {"mean_shape", "baseline", "mean", "weighted", "ridge", "lightgbm", "neural", "final"} <= names
        assert len(names) == (results["split"] == split).sum()
    assert (results["nme_low"] <= results["nme"]).all() and (results["nme"] <= results["nme_high"]).all()
    truth = captures.truth(tiny_captures / "held_out")
    found = dict(zip(*submission.read(output / "submission.txt")))
    nme = score.nme(np.stack([found[name] for name in truth]), np.stack(list(truth.values()))).mean()
    final = results[(results["name"] == "final") & (results["split"] == "test")]
    assert final["nme"].iloc[0] == pytest.approx(nme, abs=1e-6)
    assert "mean_shape" in printed and "final" in printed


def test_running_again_repeats_nothing(finished, tiny_captures):
    output, _ = finished
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.done")}
    again = run_all(tiny_captures, output)
    assert again.returncode == 0 and again.stdout.count("finished before") == len(before) == 8
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.done")} == before


def test_a_user_s_own_photographs_come_out_as_a_submission(finished, tiny_captures, tmp_path):
    """No truth, no lists, the release layout, png, and one picture missing."""
    output, _ = finished
    table = captures.find(tiny_captures)
    for i, row in enumerate(table[table["split"] == "test"].iloc[:2].itertuples()):
        for view in range(3):
            if (i, view) != (1, 2):
                path = tmp_path / f"mine/person{i}/{view}/t.png"
                path.parent.mkdir(parents=True)
                cv2.imwrite(str(path), cv2.imread(getattr(row, f"view{view}")))
    first = papermill("01_preprocess", tmp_path / "1.ipynb", ROOT, captures=tmp_path / "mine", faces=tmp_path / "faces")
    assert first.returncode == 0, first.stderr
    folders = {name: output / name for name in ("runs", "oof", "stack")}
    second = papermill(
        "05_submit",
        tmp_path / "5.ipynb",
        NOTEBOOKS,
        faces=tmp_path / "faces",
        **folders,
        submission=tmp_path / "mine.txt",
        results=tmp_path / "mine.csv",
    )
    assert second.returncode == 0, second.stderr
    assert submission.check(tmp_path / "mine.txt", ["person0", "person1"]).shape == (2, 106, 3)
    assert set(pd.read_csv(tmp_path / "mine.csv")["split"]) == {"oof"}
    outputs = [o for cell in nbformat.read(tmp_path / "5.ipynb", 4).cells for o in cell.get("outputs", [])]
    assert sum("image/png" in o.get("data", {}) for o in outputs) >= 2


def test_a_failing_stage_names_itself_the_reason_and_its_notebook(tmp_path):
    (tmp_path / "captures").mkdir()
    failed = run_all(tmp_path / "captures", tmp_path / "output")
    assert failed.returncode == 1
    last = failed.stderr.strip().splitlines()[-1]
    assert "01_preprocess failed" in last and str(tmp_path / "captures") in last and "01_preprocess.ipynb" in last
    assert "Traceback" not in failed.stderr


def test_a_folder_that_is_not_there_is_said_at_once(tmp_path):
    failed = run_all(tmp_path / "absent", tmp_path / "output")
    assert failed.returncode == 2 and "absent is not a folder" in failed.stderr and not (tmp_path / "output").exists()


def test_help_needs_no_environment():
    bare = subprocess.run(
        ["python3", "-I", "-S", str(NOTEBOOKS / "run_all.py"), "--help"], capture_output=True, text=True
    )
    assert bare.returncode == 0
    assert all(
        option in bare.stdout for option in ("--profile", "--backbones", "--sizes", "--folds", "--data", "--jobs")
    )


@pytest.mark.parametrize("file", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda file: file.stem)
def test_notebooks_are_stored_as_agreed(file):
    cells = [cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in cells) == 1
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    source = "".join("".join(cell["source"]) + "\n" for cell in cells)
    assert source.count("\n") <= 130 and "class " not in source
