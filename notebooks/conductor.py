"""How stages are run: what is finished is not repeated, what dies is started once more, and nothing outlives us.

Run as a program it is papermill for one stage. Needs the standard library alone until a stage runs.
"""

import fcntl
import json
import os
import re
import select
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, TextIO

import kpl  # light: its rooms are loaded when they are used
from kpl.errors import BadInput

NOTEBOOKS = Path(__file__).resolve().parent
ROOMS = "landmarks score compare files config errors captures faces networks train stack submission draw"
LAST_ROOM = {"01": "faces", "02": "train", "03": "stack", "04": "stack", "05": "draw"}  # of ROOMS that a notebook uses
MARK = "KPL_STAGE"  # the environment variable by which all processes of a stage are found again
ALIVE, _ = os.pipe()  # the stages' input, to which nothing is ever written: it ends when we do
CELL_FAILED = 3  # exit code of a stage whose notebook has an error; what else fails may pass another time
# What a scheduler tells the processes of a group, and torch and Accelerate believe: a notebook is a process of its own.
OF_A_GROUP = re.compile(r"(\w+_)?(RANK|WORLD_SIZE)|MASTER_(ADDR|PORT)|(MPI|OMPI|PMI|MV2|TORCHELASTIC|ACCELERATE)_\w+")


@dataclass(frozen=True)
class Stage:
    """One notebook with its parameters."""

    executed: Path  # its copy, named after it; the `.done` beside it holds the checksum of what it was executed with
    product: Path  # the file that it writes last
    inputs: str  # checksum of what it reads
    parameters: dict[str, Any]

    @property
    def notebook(self) -> str:
        return next(NOTEBOOKS.glob(f"{self.executed.name[:3]}*.ipynb")).stem


def locked(output: Path) -> TextIO:
    """Make the output folder, and keep others out until the file that is returned is closed or this process ends."""
    try:
        (output / "notebooks").mkdir(parents=True, exist_ok=True)
        lock = open(output / ".lock", "w")  # noqa: SIM115
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return lock
    except BlockingIOError:
        raise BadInput(f"another run works in {output}: wait for its end, or name another --output.") from None
    except OSError as error:
        raise BadInput(f"{output} cannot be written to ({error.strerror}): name another --output.") from None


def run_stages(stages: list[Stage], engine: Callable[[Stage], str], jobs: int = 1) -> str:
    """Run those that are not finished, `jobs` at once, and return a checksum that stands for all of them. A failure does
    not keep the others from being run, unless the disk is full. Raises BadInput at the end.

    engine: runs a stage, and returns "" or one sentence on why it failed."""
    codes = {name: code(name) for name in {stage.notebook for stage in stages}}
    keys = [kpl.files.checksum(codes[stage.notebook], stage.parameters, stage.inputs) for stage in stages]
    finished, failures, futures, pool = 0, [], {}, ThreadPoolExecutor(jobs)
    for stage, key in zip(stages, keys, strict=True):
        marker = stage.executed.with_suffix(".done")
        if stage.product.exists() and marker.exists() and marker.read_text() == key:
            print(f"== {marker.stem}: finished before", flush=True)
            finished += 1
        else:
            futures[pool.submit(lambda one: (time.time(), engine(one), time.time()), stage)] = marker, key
    for future in as_completed(futures):
        (started, failure, ended), (marker, key) = future.result(), futures[future]
        if failure:
            failures.append(f"{marker.stem} failed: {failure} (executed notebook: {marker.with_suffix('.ipynb')})")
            print(f"== {failures[-1]}", flush=True)
            if kpl.files.no_room(failure):
                break  # those that still run end with this process
        else:
            finished += 1
            marker.write_text(key)
            print(f"== {marker.stem}: {ended - started:.0f} s ({finished} of {len(stages)} finished)", flush=True)
    pool.shutdown(wait=False, cancel_futures=True)
    if failures:
        others = f"; so did {len(failures) - 1} others, see above" if len(failures) > 1 else ""
        kept = f"{finished} of {len(stages)} such stages are finished and kept"
        raise BadInput(f"{failures[-1]}{others}; {kept}; the same command goes on from here.")
    return kpl.files.checksum(keys)


def code(notebook: str) -> str:
    """A checksum of a notebook, and of what the rooms of kpl that it may use do."""
    rooms = ROOMS[: ROOMS.index(LAST_ROOM[notebook[:2]])].split() + [LAST_ROOM[notebook[:2]]]
    used = kpl.files.code_checksum(*(NOTEBOOKS.parent / "kpl" / room for room in rooms))
    return kpl.files.checksum((NOTEBOOKS / f"{notebook}.ipynb").read_bytes(), used)


def cluster(timeout: float, address: str | None, cpus: float, gpus: float | None) -> Callable[[Stage], str]:
    """A Ray cluster (None: of this machine alone) whose nodes share the project's folder, the data and the output at the
    same paths. A stage that loses its node goes on from its last checkpoint on another. Raises BadInput."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"} | os.environ
    try:
        import ray

        there = {"env_vars": {"PYTHONPATH": str(NOTEBOOKS)}}
        ray.init(address or "local", runtime_env=there, logging_level="ERROR")
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    except Exception as error:  # noqa: BLE001  Ray raises that, and a dozen others
        why = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"no Ray cluster answers ({why}): start it, or leave --address out.") from None
    gpus = min(1, max(node.get("GPU", 0) for node in nodes)) if gpus is None else gpus
    print(f"== Ray: {len(nodes)} nodes; {cpus:g} cores and {gpus:g} GPUs for each fold", flush=True)
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        raise BadInput("no node of the cluster has as much: start one, or change --cpus-per-fold and --gpus-per-fold.")
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=5)(run)  # it may lose as many nodes

    def engine(stage: Stage) -> str:
        try:  # which GPUs are its own, Ray has said there
            return ray.get(task.remote(stage, timeout, max(1, int(cpus)), [] if gpus else [""]))
        except ray.exceptions.RayError as error:
            return "on the cluster: " + " ".join(str(error).split())

    return engine


def run(stage: Stage, timeout: float, threads: int, gpus: Sequence[str] = (), bars: bool = False) -> str:
    """Execute a stage's notebook, and show what its cells print; "" or why it failed. One that dies, or is silent for
    `timeout` seconds, is started once more. gpus: one for each thread of the pool; none leaves it all that are visible.
    bars: show progress bars."""
    label, folder = stage.executed.stem, stage.executed.parent
    if not folder.exists():
        return f"node {os.uname().nodename} does not see {folder}: share it at the same path on every node"
    environ = {name: value for name, value in os.environ.items() if not OF_A_GROUP.fullmatch(name)}
    environ |= dict.fromkeys([f"{pool}_NUM_THREADS" for pool in ("OMP", "MKL", "OPENBLAS")], str(threads))
    environ |= {"OPENCV_FOR_THREADS_NUM": str(threads), "NO_ALBUMENTATIONS_UPDATE": "1"}
    if gpus:
        slot = int(re.search(r"\d*$", threading.current_thread().name)[0] or 0)  # a pool counts its threads
        environ["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
    job, said = json.dumps([stage.notebook, str(stage.executed), stage.parameters, timeout, bars]), f"== {label}"
    for _ in range(2):
        print(said, flush=True)
        with TemporaryDirectory(prefix="kpl", ignore_cleanup_errors=True) as own, TemporaryFile() as errors:
            marked = environ | {MARK: uuid.uuid4().hex, "TMPDIR": own, "JUPYTER_RUNTIME_DIR": own}
            exit_code = subprocess.call([sys.executable, __file__, job], env=marked, stdin=ALIVE, stderr=errors)
            if exit_code == 0:
                return ""
            end(marked[MARK])
            errors.seek(0)
            words = errors.read().decode(errors="replace").strip().split("\n")[-1]
        why = words if words and exit_code > 0 else f"it was killed (exit code {exit_code})"
        if exit_code == CELL_FAILED or kpl.files.no_room(why):
            break
        said = f"== {label}: {why}; it is started once more"
    return why


def end(mark: str) -> None:
    """Kill every other process of a stage, the orphans of killed ones too. Files are written atomically: none is torn."""
    import psutil

    for process in psutil.process_iter(["environ"]):
        if (process.info["environ"] or {}).get(MARK) == mark and process.pid != os.getpid():
            with suppress(psutil.Error):
                process.kill()


class Shown:
    """A file for what cells print: passed on by whole lines and without progress bars, unless those are wanted too."""

    heard = time.monotonic()  # when a cell printed last, to whichever file

    def __init__(self, bars: bool) -> None:
        self.bars, self.rest, self.flush = bars, "", sys.stdout.flush

    def write(self, text: str) -> None:
        Shown.heard = time.monotonic()
        *lines, self.rest = (self.rest + text).split("\n")
        whole = [line.rsplit("\r", 1)[-1].rstrip() + "\n" for line in lines]
        print(text if self.bars else "".join(line for line in whole if line.strip()), end="", flush=True)


def watch(timeout: float) -> None:
    """End this stage when it hangs, or who started it is gone: no training may go on beside the one in its place."""
    while not select.select([0], [], [], 0.2)[0] and time.monotonic() - Shown.heard < timeout:
        pass
    end(os.environ[MARK])
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    print(f"it printed nothing for {timeout / 60:.3g} minutes", file=sys.stderr, flush=True)
    os._exit(1)


def main(notebook: str, executed: str, parameters: dict[str, Any], timeout: float, bars: bool) -> None:
    """Execute a notebook with papermill."""
    threading.Thread(target=watch, args=(timeout,), daemon=True).start()
    import papermill

    how = {"cwd": NOTEBOOKS.parent, "progress_bar": False, "stdout_file": Shown(bars), "stderr_file": Shown(bars)}
    try:
        papermill.execute_notebook(NOTEBOOKS / f"{notebook}.ipynb", executed, parameters, **how)
    except papermill.PapermillExecutionError as error:
        print(" ".join(f"{error.ename}: {error.evalue}".removeprefix("BadInput: ").split()), file=sys.stderr)
        sys.exit(CELL_FAILED)


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
