"""The whole job, as a person runs it: every notebook with tiny parameters on a small studio data set."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
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

from kpl import captures, config, faces, score, stack, submission
from kpl.errors import BadInput

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"


def command(data: Path, output: Path, *arguments: str, jobs: bool = True) -> list[str]:
    tiny = ["--profile", "tiny", *(["--jobs", "2"] if jobs else [])]
    return [
        *(sys.executable, str(NOTEBOOKS / "run_all.py"), *tiny),
        *("--data", str(data), "--output", str(output), *arguments),
    ]


def run_all(data: Path, output: Path, *arguments: str, jobs: bool = True) -> subprocess.CompletedProcess:
    line = command(data, output, *arguments, jobs=jobs)
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.fixture
def run_here(monkeypatch, capfd):
    """As `run_all`, but in this process, which has torch already: for runs that end soon."""

    def run(data: Path, output: Path, *arguments: str, jobs: bool = True) -> subprocess.CompletedProcess:
        monkeypatch.setattr(sys, "argv", command(data, output, *arguments, jobs=jobs)[1:])
        try:
            code = run_all_module.main()
        except SystemExit as refused:
            code = refused.code
        return subprocess.CompletedProcess(sys.argv, code, *capfd.readouterr())

    return run


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
        run_all_module.refuse([(p, replace(store, points3d=points3d))])


def test_the_same_command_twice_at_once_is_refused_in_one_sentence(run_here, tiny_captures, tmp_path):
    with conductor.locked(tmp_path / "output"):
        refused = run_here(tiny_captures, tmp_path / "output")
    last = refused.stderr.strip().splitlines()[-1]
    assert refused.returncode == 1 and "another run works in" in last and "Traceback" not in refused.stderr
    assert not (tmp_path / "output" / "faces").exists()


def test_an_unknown_backbone_is_said_before_anything_is_done(run_here, tiny_captures, tmp_path):
    failed = run_here(tiny_captures, tmp_path / "output", "--backbones", "effb99")
    assert failed.returncode == 1 and "unknown backbone 'effb99'" in failed.stderr and "Traceback" not in failed.stderr


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


@pytest.mark.parametrize("file", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda file: file.stem)
def test_notebooks_are_stored_as_agreed(file):
    cells = [cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in cells) == 1
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    source = "".join("".join(cell["source"]) + "\n" for cell in cells)
    most = {"04_stack": 155, "05_submit": 150}.get(file.stem, 135)  # 04 shows two layers whole, 05 is the report too
    assert source.count("\n") <= most
