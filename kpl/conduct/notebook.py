"""One stage: papermill in a process of its own, shown, watched, and started once more if it dies or hangs."""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import BinaryIO

from kpl.conduct.stages import NOTEBOOKS, Stage, executed_notebook
from kpl.config import ROOT

TAIL = 4000  # characters of a stage's error stream that are kept
KERNEL_DIED = 138  # papermill's exit code for it
ATTEMPTS = 2
MARK = "KPL_STAGE"  # environment variable by which all processes of a stage are found again


def run(
    stage: Stage, output: Path, environ: dict, timeout: float, whole_lines: bool, stop: threading.Event | None = None
) -> str:
    """Execute a stage's notebook, and show what its cells print; "" or one sentence on why it failed.

    `timeout` is in seconds: a stage that prints nothing for so long hangs. One that hangs or is killed is started once
    more, and goes on from its last checkpoint; an error in a cell is not repeated. `stop` ends it early.
    """
    stop = stop or threading.Event()
    executed = executed_notebook(stage, output)
    executed.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, ATTEMPTS + 1):
        executed.unlink(missing_ok=True)  # an earlier one would speak for this one if it dies early
        code, tail, silent = _execute(command(stage, executed), environ, timeout, whole_lines, stop)
        if code == 0:
            return ""
        failure = f"it printed nothing for {timeout / 60:.3g} minutes" if silent else reason(executed, code, tail)
        if stop.is_set() or not (silent or code < 0 or code == KERNEL_DIED):
            break
        if attempt < ATTEMPTS:
            print(f"== {stage.label}: {failure}; it is started once more", flush=True)
    return f"{stage.label} failed: {failure} (executed notebook: {executed})"


def command(stage: Stage, executed: Path) -> list[str]:
    """papermill's command line."""
    source = NOTEBOOKS / f"{stage.notebook}.ipynb"
    return [
        *(sys.executable, "-m", "kpl.conduct.child", str(os.getpid())),
        *(str(source), str(executed), "-y", json.dumps(stage.parameters)),
        *("--cwd", str(ROOT), "--no-progress-bar", "--log-level", "ERROR"),
        *("--stdout-file", "/dev/stdout", "--stderr-file", "/dev/stdout"),
    ]


def reason(executed: Path, code: int, tail: str) -> str:
    """Why a notebook failed, in one sentence: its last error, or what papermill itself said."""
    if code < 0 or code == KERNEL_DIED:
        return f"it was killed (exit code {code})"
    try:
        cells = json.loads(executed.read_text())["cells"]
    except (OSError, ValueError):
        cells = []
    errors = [output for cell in cells for output in cell.get("outputs", []) if output["output_type"] == "error"]
    if errors:
        kind = "" if errors[-1]["ename"] == "BadInput" else f"{errors[-1]['ename']}: "
        return kind + errors[-1]["evalue"].strip()
    return tail.strip().splitlines()[-1] if tail.strip() else f"it ended with exit code {code}"


def _execute(
    command: list[str], environ: dict, timeout: float, whole_lines: bool, stop: threading.Event
) -> tuple[int, str, bool]:
    """Run a command to its end: its exit code, the end of its error stream, and whether it was ended for silence."""
    mark = uuid.uuid4().hex
    process = subprocess.Popen(command, env=environ | {MARK: mark}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    heard = [time.monotonic()]
    tail: list[str] = []
    threads = [
        threading.Thread(target=_show, args=(process.stdout, whole_lines, heard), daemon=True),
        threading.Thread(
            target=lambda: tail.append(process.stderr.read().decode(errors="replace")[-TAIL:]), daemon=True
        ),
    ]
    for thread in threads:
        thread.start()
    silent = False
    try:
        while process.poll() is None and not silent and not stop.is_set():
            try:
                process.wait(min(1.0, timeout))
            except subprocess.TimeoutExpired:
                silent = time.monotonic() - heard[0] > timeout
    finally:
        if process.returncode != 0:  # hung, died, or this conductor is interrupted: nothing of it may go on
            end(mark)
        code = process.wait()
    for thread in threads:
        thread.join(10)
    return code, "".join(tail), silent


def end(mark: str) -> None:
    """Kill every process of a stage, the orphans of killed ones too. All files are written atomically: none is torn."""
    import psutil

    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                process.kill()
        except psutil.Error:  # it has just ended, or is not ours to look at
            continue


def _show(stream: BinaryIO, whole_lines: bool, heard: list[float]) -> None:
    """Pass a stage's output on. Whole lines leave progress bars out: they would overwrite each other, or fill a log."""
    rest = b""
    while chunk := stream.read1():
        heard[0] = time.monotonic()
        if not whole_lines:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            continue
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            _print_line(line)
        rest = rest.rsplit(b"\r", 1)[-1]
    _print_line(rest)


def _print_line(line: bytes) -> None:
    line = line.rsplit(b"\r", 1)[-1].rstrip()
    if line:
        print(line.decode(errors="replace"), flush=True)
