"""One stage in earnest: papermill, a kernel, and what happens when they die or hang."""

import subprocess
import sys
import threading
import time

import nbformat
import psutil
import pytest

from kpl.conduct import notebook, stages
from kpl.conduct.local import environment
from kpl.conduct.stages import Stage

DIES_ONCE = """
import os, signal
from pathlib import Path
been = Path(folder) / "been"
if not been.exists():
    been.touch()
    os.kill(os.getpid(), signal.SIGKILL)
print("alive")
"""
HANGS_ONCE = DIES_ONCE.replace("os.kill(os.getpid(), signal.SIGKILL)", "import time; time.sleep(600)")
WAITS = "print('waits', flush=True); import time; time.sleep(600)"


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A function that makes a stage of a notebook with one cell of code."""
    monkeypatch.setattr(notebook, "NOTEBOOKS", tmp_path)

    def make(code: str) -> Stage:
        cells = [nbformat.v4.new_code_cell("folder = ''", metadata={"tags": ["parameters"]})]
        cells.append(nbformat.v4.new_code_cell(code))
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "cell.ipynb")
        return Stage("stage", "cell", {"folder": str(tmp_path)}, "")

    return make


def running(mark: str) -> list[int]:
    """The processes that carry a mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if mark in process.environ().values():
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_a_killed_kernel_is_started_once_more(stage, tmp_path, capsys):
    assert notebook.run(stage(DIES_ONCE), tmp_path, environment(1), 120, whole_lines=True) == ""
    printed = capsys.readouterr().out
    assert "stage: it was killed (exit code 138); it is started once more" in printed and "alive" in printed
    assert stages.executed_notebook(stage(DIES_ONCE), tmp_path).exists()


@pytest.mark.slow
def test_a_silent_stage_is_ended_and_started_once_more(stage, tmp_path, capsys):
    assert notebook.run(stage(HANGS_ONCE), tmp_path, environment(1), 20, whole_lines=True) == ""
    assert "it printed nothing for 0.333 minutes; it is started once more" in capsys.readouterr().out


def test_one_that_is_stopped_is_not_started_again_and_leaves_no_process(stage, tmp_path, capsys):
    stop = threading.Event()
    environ = environment(1) | {"TEST_MARK": str(tmp_path)}
    ended = []
    thread = threading.Thread(
        target=lambda: ended.append(notebook.run(stage(WAITS), tmp_path, environ, 120, True, stop))
    )
    thread.start()
    deadline = time.monotonic() + 60
    while "waits" not in capsys.readouterr().out and time.monotonic() < deadline:
        time.sleep(0.2)
    assert len(running(str(tmp_path))) >= 2  # papermill and its kernel
    stop.set()
    thread.join(30)
    assert "stage failed" in ended[0] and running(str(tmp_path)) == []


def test_a_hanging_process_is_ended_with_its_children(tmp_path):
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).wait()"
    environ = environment(1) | {"TEST_MARK": str(tmp_path)}
    code, _, silent = notebook._execute([sys.executable, "-c", child], environ, 2.0, True, threading.Event())
    assert silent and code < 0 and running(str(tmp_path)) == []


def test_papermill_ends_with_the_process_that_started_it(stage, tmp_path):
    """SIGKILL gives the conductor no chance to end what it started."""
    command = notebook.command(stage(WAITS), tmp_path / "executed.ipynb")
    start = (
        f"import os, subprocess, time; c = {command!r}; c[3] = str(os.getpid()); subprocess.Popen(c); time.sleep(600)"
    )
    environ = environment(1) | {"TEST_MARK": str(tmp_path)}
    conductor = subprocess.Popen([sys.executable, "-c", start], env=environ, stdout=subprocess.PIPE)
    assert b"waits" in conductor.stdout.readline()
    conductor.kill()
    conductor.wait()
    deadline = time.monotonic() + 20
    while running(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert running(str(tmp_path)) == []
    conductor.stdout.close()
