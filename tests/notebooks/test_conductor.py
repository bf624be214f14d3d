"""One stage in earnest: papermill, a kernel, and what happens when they die or hang; and many: what is not repeated."""

import errno
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import conductor
import nbformat
import psutil
import pytest
from conductor import Stage, run_stages

from kpl.errors import BadInput

NOTEBOOKS = Path(conductor.__file__).parent
DIES_ONCE = """
import os, signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
been = Path(folder) / "been"
if not been.exists():
    been.touch()
    os.kill(os.getpid(), signal.SIGKILL)
print("alive")
"""
HANGS_ONCE = DIES_ONCE.replace("os.kill(os.getpid(), signal.SIGKILL)", "import time; time.sleep(600)")
WAITS = "print('waits', flush=True); import time; time.sleep(600)"
SAYS = "import json, os; from pathlib import Path; Path(folder, 'said').write_text(json.dumps(dict(os.environ)))"


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A function that makes a stage of a notebook with one cell of code."""
    monkeypatch.setattr(conductor, "NOTEBOOKS", tmp_path)
    monkeypatch.setenv("TEST_MARK", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "executed").mkdir()

    def make(code: str) -> Stage:
        cells = [nbformat.v4.new_code_cell("folder = ''", metadata={"tags": ["parameters"]})]
        cells.append(nbformat.v4.new_code_cell(code))
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "00_cell.ipynb")
        return Stage(tmp_path / "executed" / "00_stage.ipynb", tmp_path / "product", "", {"folder": str(tmp_path)})

    return make


def running(mark: str) -> list[psutil.Process]:
    """The processes of a test's stages."""
    found = psutil.process_iter(["environ"])
    return [one for one in found if (one.info["environ"] or {}).get("TEST_MARK") == mark and one.pid != os.getpid()]


def soon(true, seconds: float = 60) -> bool:
    """Whether something becomes true."""
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(true())


def test_a_killed_kernel_is_started_once_more(stage, capfd):
    assert conductor.run(stage(DIES_ONCE), 120, 1) == ""
    printed = capfd.readouterr().out
    assert "== 00_stage: " in printed and "Kernel died; it is started once more" in printed and "alive\n" in printed


def test_a_kernel_killed_the_moment_it_is_born_is_started_once_more_and_leaves_no_file(stage, tmp_path, capfd):
    ended = []
    thread = threading.Thread(target=lambda: ended.append(conductor.run(stage("print('alive')"), 120, 1)))
    thread.start()

    def kernels() -> list[psutil.Process]:
        return [one for one in running(str(tmp_path)) if "ipykernel_launcher" in " ".join(one.cmdline())]

    assert soon(kernels)
    kernels()[0].kill()
    thread.join(120)
    printed = capfd.readouterr().out
    assert ended == [""] and "Kernel died before replying" in printed and "alive\n" in printed
    assert list((tmp_path / "temporary").iterdir()) == []  # its connection file, say


@pytest.mark.slow
def test_a_silent_stage_is_ended_and_started_once_more(stage, capfd):
    assert conductor.run(stage(HANGS_ONCE), 24, 1) == ""
    assert "it printed nothing for 0.4 minutes; it is started once more" in capfd.readouterr().out


def test_an_error_of_a_cell_is_one_sentence_and_not_repeated(stage, capfd):
    assert conductor.run(stage("print('once'); raise ValueError('no\\ngood')"), 120, 1) == "ValueError: no good"
    assert conductor.run(
        stage("from kpl.errors import BadInput; raise BadInput('x.jpg is empty: delete it.')"), 120, 1
    ) == ("x.jpg is empty: delete it.")
    printed = capfd.readouterr().out
    assert printed.count("once") == 1 and "Traceback" not in printed


def test_progress_bars_stay_out_of_a_log(stage, capfd):
    bars = "import sys\nfor i in range(3): print(f'\\r{i} of 3', end='', file=sys.stderr, flush=True)\n"
    assert conductor.run(stage(bars + "print('\\r', end='', file=sys.stderr)\nprint('whole')"), 120, 1) == ""
    assert capfd.readouterr().out == "== 00_stage\nwhole\n"


def test_what_a_stage_is_told_of_threads_and_gpus(stage, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert conductor.run(stage(SAYS), 120, 3, gpus=["7"]) == ""
    told = json.loads((tmp_path / "said").read_text())
    assert told["CUDA_VISIBLE_DEVICES"] == "7"
    threads = [*(f"{pool}_NUM_THREADS" for pool in ("OMP", "MKL", "OPENBLAS")), "OPENCV_FOR_THREADS_NUM"]
    assert {told[name] for name in threads} == {"3"}
    assert conductor.run(stage(SAYS), 120, 1) == ""
    assert json.loads((tmp_path / "said").read_text())["CUDA_VISIBLE_DEVICES"] == "5,7"


def test_a_stage_ends_with_the_process_that_started_it_and_takes_its_files_along(stage, tmp_path):
    """SIGKILL gives the conductor no chance to end what it started."""
    one = stage(WAITS)
    start = f"import sys; sys.path.insert(0, {str(NOTEBOOKS)!r}); import conductor; from pathlib import PosixPath; "
    start += f"conductor.NOTEBOOKS = PosixPath({str(tmp_path)!r}); conductor.run(conductor.{one!r}, 120, 1)"
    starter = subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE)
    assert starter.stdout.readline() == b"== 00_stage\n" and starter.stdout.readline() == b"waits\n"
    assert len(running(str(tmp_path))) >= 2  # the starter and its kernel
    starter.kill()
    starter.wait()
    assert soon(lambda: not running(str(tmp_path)), 20)
    assert list((tmp_path / "temporary").iterdir()) == []
    starter.stdout.close()


def test_each_of_two_jobs_has_a_gpu_of_its_own(stage, tmp_path):
    one = stage(SAYS.replace("'said'", "'said' + os.environ['CUDA_VISIBLE_DEVICES']"))
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(partial(conductor.run, timeout=120, threads=1, gpus=["5", "7"]), [one, one])) == ["", ""]
    assert (tmp_path / "said5").exists() and (tmp_path / "said7").exists()


FOLDS = range(4)


@pytest.fixture
def folds(tmp_path):
    (tmp_path / "notebooks").mkdir()
    executed, products = tmp_path / "notebooks", [tmp_path / f"product{fold}" for fold in FOLDS]
    return [Stage(executed / f"02_fold{k}.ipynb", products[k], "faces", {"fold": k}) for k in FOLDS]


def engine(ran: list[str], failures: dict[str, str] | None = None):
    """An engine that notes what it is given, and writes its product or fails."""

    def run(stage):
        label = stage.executed.stem
        ran.append(label)
        if label not in (failures or {}):
            stage.product.touch()
        return (failures or {}).get(label, "")

    return run


def test_a_failure_leaves_the_others_running_and_only_what_is_missing_runs_again(folds, capsys):
    ran = []
    with pytest.raises(
        BadInput, match="02_fold1 failed: no.*fold1.ipynb.*3 of 4 such stages are finished and kept.*goes on"
    ):
        run_stages(folds, engine(ran, {"02_fold1": "no"}))
    assert ran == ["02_fold0", "02_fold1", "02_fold2", "02_fold3"]
    ran.clear()
    run_stages(folds, engine(ran))
    assert ran == ["02_fold1"] and "(4 of 4 finished)" in capsys.readouterr().out


def test_what_is_deleted_is_made_again(folds):
    run_stages(folds, engine([]))
    folds[2].product.unlink()
    run_stages(folds, engine(ran := []))
    assert ran == ["02_fold2"]


def test_several_failures_are_one_sentence_each_and_one_at_the_end(folds, capsys):
    with pytest.raises(BadInput, match="02_fold[02] failed: [ab].*; 2 of 4 .* kept, 2 failed"):
        run_stages(folds, engine([], {"02_fold0": "a", "02_fold2": "b"}))
    printed = capsys.readouterr().out
    assert "02_fold0 failed: a" in printed and "02_fold2 failed: b" in printed


def test_a_full_disk_stops_the_others(folds):
    ran, full = [], f"OSError: [Errno 28] {os.strerror(errno.ENOSPC)}"

    def slow(stage):
        time.sleep(0.5 if ran else 0)
        return engine(ran, {"02_fold0": full})(stage)

    with pytest.raises(BadInput, match="No space left on device.*0 of 4"):
        run_stages(folds, slow)
    time.sleep(1.5)
    assert ran[:1] == ["02_fold0"] and len(ran) <= 2  # one had begun


def test_other_parameters_and_other_inputs_are_another_stage(folds):
    run_stages(folds[:1], engine([]))
    other = Stage(folds[0].executed, folds[0].product, "other faces", {"fold": 0})
    run_stages([other], engine(ran := []))
    run_stages([other], engine(ran))
    run_stages([Stage(other.executed, other.product, other.inputs, {"fold": 1})], engine(ran))
    assert ran == ["02_fold0", "02_fold0"]


def test_a_stage_is_another_one_with_another_notebook_or_other_code_of_the_rooms_that_it_may_use(tmp_path, monkeypatch):
    names = ["01_preprocess", "02_train_fold", "03_oof", "04_stack", "05_submit"]
    assert len({conductor.code(name) for name in names}) == 5  # all rooms are where they are looked for
    (tmp_path / "notebooks").mkdir()
    for file in [f"notebooks/{name}.ipynb" for name in names] + [
        f"kpl/{room}/part.py" for room in conductor.ROOMS.split()
    ]:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("X = 0\n")
    monkeypatch.setattr(conductor, "NOTEBOOKS", tmp_path / "notebooks")

    def changed(file: str, text: str) -> str:
        """The notebooks that are to run again when a file holds something else."""
        before = [conductor.code(name) for name in names]
        (tmp_path / file).write_text(text)
        return " ".join(name[:2] for name, old in zip(names, before, strict=True) if conductor.code(name) != old)

    assert changed("kpl/score/part.py", "X = 1") == "01 02 03 04 05" == changed("kpl/faces/part.py", "X = 1")
    assert changed("kpl/train/part.py", "def f():\n    return 1\n") == "02 03 04 05"
    assert changed("kpl/train/part.py", "def f():\n    'Words.'\n    # and more\n    return (1)\n") == ""
    assert changed("kpl/stack/part.py", "X = 1") == "03 04 05"
    assert changed("kpl/draw/part.py", "X = 1") == "05" == changed("notebooks/05_submit.ipynb", "X = 1")


def test_one_output_has_one_conductor_and_a_dead_one_stops_nobody(tmp_path):
    start = f"import sys; sys.path.insert(0, {str(Path(conductor.__file__).parent)!r}); import conductor, subprocess, time; "
    start += f"from pathlib import Path; held = conductor.locked(Path({str(tmp_path / 'new' / 'output')!r})); "
    start += "child = subprocess.Popen(['sleep', '600']); print(child.pid, flush=True); time.sleep(600)"
    other = subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE)
    child = psutil.Process(int(other.stdout.readline()))
    with pytest.raises(BadInput, match="another run works in .*output: wait for its end, or name another --output"):
        conductor.locked(tmp_path / "new" / "output")
    other.kill()
    other.wait()
    other.stdout.close()
    with conductor.locked(tmp_path / "new" / "output"):
        assert child.is_running()  # what it has started does not inherit the lock
    child.kill()


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="file/output cannot be written to .*name another --output"):
        conductor.locked(tmp_path / "file" / "output")
