"""The whole job, as a person runs it: every notebook with tiny parameters on a small studio data set."""

import re
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import cells
import conductor
import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import psutil
import pytest
import run_all as run_all_module

from kpl import captures, score, stack, submission
from kpl.config import ROOT
from notebooks.tiny import command


def run_all(data: Path, output: Path, *arguments: str, jobs: bool = True) -> subprocess.CompletedProcess:
    line = command(data, output, *arguments, jobs=jobs)
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=False)


def run_in_cells(data: Path, output: Path, *arguments: str, until: str = "") -> subprocess.CompletedProcess:
    """As `run_all`, in this process with the notebooks' cells: where it is not kernels that are tested. The run fails at
    the notebook whose number is `until`."""

    def run(stage: conductor.Stage, **how) -> str:
        if stage.notebook[:2] == until:
            return "this far"
        cells.run(stage.notebook, look="05" in stage.notebook, **stage.parameters)
        plt.close("all")
        shutil.copy(conductor.NOTEBOOKS / f"{stage.notebook}.ipynb", stage.executed)
        return ""

    line = command(data, output, *arguments, "--jobs", "1", jobs=False)[1:]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        patch.setattr(run_all_module, "run", run)
        patch.setattr(sys, "argv", line)
        return subprocess.CompletedProcess(line, run_all_module.main(), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def finished(tiny_captures, tmp_path_factory):
    """The output folder of a whole tiny run, in cells, and what it printed."""
    output = tmp_path_factory.mktemp("output")
    done = run_in_cells(tiny_captures, output)
    assert done.returncode == 0, done.stdout + done.stderr
    return output, done.stdout


@pytest.fixture(scope="module")
def killed(tiny_captures, tmp_path_factory):
    """The same of a run in kernels that was killed when one fold was half-trained, and started again."""
    output = tmp_path_factory.mktemp("output")
    process = subprocess.Popen(
        command(tiny_captures, output), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )
    assert any("(2 of 4 finished)" in line for line in process.stdout)
    assert any("epoch 1/2" in line for line in process.stdout)
    process.kill()  # the conductor alone: what it started ends with it
    process.wait()
    process.stdout.close()
    assert not (output / "submission.txt").exists()
    again = run_all(tiny_captures, output)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "01_preprocess: finished before" in again.stdout and "(4 of 4 finished)" in again.stdout
    return output, again.stdout


@pytest.mark.slow
def test_killed_and_started_again_in_kernels_it_submits_what_an_undisturbed_run_does(killed, finished):
    (one, printed), (other, _) = killed, finished
    assert (one / "submission.txt").read_bytes() == (other / "submission.txt").read_bytes()
    assert (one / "results.csv").read_bytes() == (other / "results.csv").read_bytes()
    assert "mean_shape" in printed and "final" in printed
    assert (one / "report.html").stat().st_size > 10_000


def test_the_submission_is_valid_and_covers_the_test_samples(finished, tiny_captures):
    output, _ = finished
    table = captures.find(tiny_captures)
    names = table["sample"][table["split"] == "test"].tolist()
    assert submission.check(output / "submission.txt", names).shape == (len(names), 106, 3)


def test_the_results_table_says_what_was_submitted(finished, tiny_captures):
    output, printed = finished
    results = pd.read_csv(output / "results.csv")
    assert list(results.columns) == ["name", "split", "nme", "nme_low", "nme_high", "inner_nme", "auc", "failure_rate"]
    for split in ("oof", "test"):
        names = set(results["name"][results["split"] == split])
        bare = {name.split("+")[0] for name in names}  # without their copies
        assert {"mean_shape", "baseline", "mean", "weighted", "ridge", "lightgbm", "neural", "final"} <= bare
        assert len(names) == (results["split"] == split).sum()
    assert (results["nme_low"] <= results["nme"]).all() and (results["nme"] <= results["nme_high"]).all()
    truth = captures.truth(tiny_captures / "held_out")
    found = dict(zip(*submission.read(output / "submission.txt")))
    nme = score.nme(np.stack([found[name] for name in truth]), np.stack(list(truth.values()))).mean()
    final = results[(results["name"] == "final") & (results["split"] == "test")]
    assert final["nme"].iloc[0] == pytest.approx(nme, abs=1e-6)
    assert "mean_shape" in printed and "final" in printed


@pytest.mark.slow
def test_running_again_repeats_nothing(run_here, killed, tiny_captures):
    output, _ = killed
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.done")}
    again = run_here(tiny_captures, output)
    assert again.returncode == 0 and again.stdout.count("finished before") == len(before) == 8
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.done")} == before


@pytest.mark.slow
def test_two_recipes_of_captures_without_test_samples_go_through_to_the_report_and_then_one_of_them(tmp_path):
    studio = [sys.executable, "-m", "kpl.studio", "--out", tmp_path / "captures", "--scale", "0.25"]
    subprocess.run([*studio, "--train-subjects", "4", "--test-subjects", "0"], check=True, capture_output=True)
    both = ["--epochs", "1", "--recipes", "centerface256", "list256"]
    done = run_in_cells(tmp_path / "captures", tmp_path / "output", *both)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 networks x 2 folds x 1 epochs on up to 28 samples" in done.stdout
    results = pd.read_csv(tmp_path / "output" / "results.csv")
    assert {"mobilenetv3_32_centerface256", "mobilenetv3_32_list256", "baseline", "final"} <= set(results["name"])
    assert set(results["split"]) == {"oof"}
    assert (tmp_path / "output" / "report.html").exists() and not (tmp_path / "output" / "submission.txt").exists()
    done = run_in_cells(tmp_path / "captures", tmp_path / "output", *both[:-1], until="04")
    assert "04_stack failed: this far" in done.stderr, done.stdout + done.stderr
    assert set(stack.load(tmp_path / "output" / "oof" / "oof.npz").networks) == {"mobilenetv3_32_late_fc", "baseline"}


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--epochs", "3"], r"was trained with epochs=2, not 3: .*another --output"),
        (["--folds", "4"], r"folds.csv holds 2 folds, not 4: .*another --output"),
    ],
)
def test_what_does_not_fit_the_runs_that_are_there_is_said_before_any_training(
    run_here, finished, tiny_captures, arguments, words
):
    refused = run_here(tiny_captures, finished[0], *arguments)
    assert refused.returncode == 1 and re.search(words, refused.stderr) and "== 02_" not in refused.stdout


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
    mine = {"faces": tmp_path / "faces", "submission": tmp_path / "mine.txt", "results": tmp_path / "mine.csv"}
    cells.run("01_preprocess", captures=tmp_path / "mine", faces=mine["faces"])
    plt.close("all")
    cells.run("05_submit", look=True, **mine, **{name: output / name for name in ("runs", "oof", "stack")})
    assert submission.check(mine["submission"], ["person0", "person1"]).shape == (2, 106, 3)
    assert set(pd.read_csv(mine["results"])["split"]) == {"oof"}
    assert len(plt.get_fignums()) >= 2
    plt.close("all")


@pytest.mark.slow
def test_captures_that_change_under_a_half_done_run_are_said_and_nothing_is_lost(finished, tiny_captures, tmp_path):
    output, data = tmp_path / "output", tmp_path / "captures"
    shutil.copytree(tiny_captures, data)
    shutil.copytree(finished[0], output)
    table = captures.find(data)
    picture = Path(table[table["split"] == "train"]["view1"].iloc[0])
    before = picture.read_bytes()
    picture.write_bytes(Path(table[table["split"] == "train"]["view1"].iloc[1]).read_bytes())
    kept = {path: path.read_bytes() for path in (output / "runs").rglob("*") if path.is_file()}
    changed = run_in_cells(data, output)
    assert changed.returncode == 1 and "was trained on other faces" in changed.stderr and "delete" in changed.stderr
    assert {path: path.read_bytes() for path in (output / "runs").rglob("*") if path.is_file()} == kept
    picture.write_bytes(before)
    assert "failed: this far" in run_in_cells(data, output, until="02").stderr  # past the check


@pytest.mark.slow
def test_a_disk_that_fills_is_named_and_what_is_finished_is_kept(tiny_captures, tmp_path):
    """On a file system of 70 MB the faces find room, the first trainings' checkpoints do not."""
    mount = tmp_path / "disk"
    mount.mkdir()
    inside = ["unshare", "--map-root-user", "--mount", "bash", "-c"]
    if subprocess.run([*inside, f"mount -t tmpfs none {mount}"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets no one mount a small disk")
    line = shlex.join(command(tiny_captures, mount / "output"))
    script = f"mount -t tmpfs -o size=70m none {mount} && {{ {line}; echo exit $?; ls {mount}/output/notebooks/*.done; }}"
    filled = subprocess.run([*inside, script], capture_output=True, text=True, cwd=ROOT, check=False)
    last = filled.stderr.strip().splitlines()[-1]
    assert "exit 1" in filled.stdout and "01_preprocess.done" in filled.stdout
    assert f"{mount}/output has" in last and "MB free: make room" in last, filled.stderr
    assert "Traceback" not in filled.stderr


@pytest.fixture
def two_nodes(monkeypatch):
    """A Ray cluster of two nodes with one core each, and its second node."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else a token that some other cluster left in HOME is asked for
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
    noticed = {"health_check_period_ms": 1000, "health_check_failure_threshold": 5}  # a dead node, within seconds
    cluster = Cluster(initialize_head=True, head_node_args=node | {"_system_config": noticed})
    try:
        yield cluster, cluster.add_node(**node)
    finally:
        cluster.shutdown()


def of_node(node) -> list[psutil.Process]:
    """A node's workers and all that they have started."""
    return psutil.Process(node.all_processes["raylet"][0].process.pid).children(recursive=True)


@pytest.mark.slow
def test_a_cluster_that_loses_a_node_finishes_every_fold_as_one_machine_does(killed, two_nodes, tiny_captures, tmp_path):
    """Two of the folds, trained once more. The node dies as when a machine loses its power."""
    (cluster, second), (output, _) = two_nodes, killed
    name = "mobilenetv3_32_late_fc"
    shutil.move(output / "runs" / name, tmp_path / name)
    line = command(tiny_captures, output, "--engine", "ray", "--address", cluster.address, jobs=False)
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    killed, printed = "", []
    for line in process.stdout:
        printed.append(line)
        worker = re.search(r"\((\S+) pid=(\d+).*epoch 1/2", line)
        if worker and not killed and int(worker[2]) in {process.pid for process in of_node(second)}:
            killed = worker[1]
            for one in of_node(second):
                one.kill()
            cluster.remove_node(second, allow_graceful=False)
    process.wait()
    process.stdout.close()
    printed = "".join(printed)
    assert killed, printed
    assert printed.count(f"{killed} pid=") > 1 and "(4 of 4 finished)" in printed, printed
    for fold in ("fold0", "fold1"):
        here, there = tmp_path / name / fold, output / "runs" / name / fold
        ours, theirs = (np.load(folder / "predictions.npz") for folder in (here, there))
        assert all((ours[part] == theirs[part]).all() for part in ours)
        assert (here / "weights.safetensors").read_bytes() == (there / "weights.safetensors").read_bytes()
