"""How stages are run: what is finished is not repeated, what dies is started once more, and nothing outlives us."""

import fcntl
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import kpl  # light, as all up here: --help needs the standard library alone
from kpl.errors import BadInput

NOTEBOOKS = Path(__file__).resolve().parent
ROOMS = "landmarks score compare files config errors captures faces cameras networks train stack submission draw"
LAST_ROOM = {"01": "faces", "02": "train", "03": "stack", "04": "stack", "05": "draw"}  # of ROOMS that a notebook uses


class Stage(NamedTuple):
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
    """Run those that are not finished, `jobs` at once, by an engine that returns "" or why one failed; a checksum that stands
    for all. They share a notebook. The others run when one fails, unless the disk is full. Raises BadInput at the end."""
    does, failures, futures, pool = code(stages[0].notebook), [], {}, ThreadPoolExecutor(jobs)
    keys = [kpl.files.checksum(does, stage.parameters, stage.inputs) for stage in stages]
    for stage, key in zip(stages, keys, strict=True):
        marker = stage.executed.with_suffix(".done")
        if stage.product.exists() and marker.exists() and marker.read_text() == key:
            print(f"== {marker.stem}: finished before", flush=True)
        else:
            futures[pool.submit(lambda one: (time.time(), engine(one), time.time()), stage)] = marker, key
    finished = len(stages) - len(futures)
    for future in as_completed(futures):
        (started, failure, ended), (marker, key) = future.result(), futures[future]
        if not failure:
            finished += 1
            marker.write_text(key)
            print(f"== {marker.stem}: {ended - started:.0f} s ({finished} of {len(stages)} finished)", flush=True)
            continue
        failures.append(f"{marker.stem} failed: {failure} (executed notebook: {marker.with_suffix('.ipynb')})")
        print(f"== {failures[-1]}", flush=True)
        if kpl.files.no_room(failure):
            break  # those that still run end with this process
    pool.shutdown(wait=False, cancel_futures=True)
    if failures:
        kept = f"{finished} of {len(stages)} such stages are finished and kept, {len(failures)} failed"
        raise BadInput(f"{failures[-1]}; {kept}; the same command goes on from here.")
    return kpl.files.checksum(keys)


def code(notebook: str) -> str:
    """A checksum of a notebook, and of what the rooms of kpl that it may use do."""
    rooms = "".join(ROOMS.partition(LAST_ROOM[notebook[:2]])[:2]).split()
    used = kpl.files.code_checksum(*(NOTEBOOKS.parent / "kpl" / room for room in rooms))
    return kpl.files.checksum((NOTEBOOKS / f"{notebook}.ipynb").read_bytes(), used)


def cluster(timeout: float, address: str | None, cpus: float, gpus: float | None) -> Callable[[Stage], str]:
    """A Ray cluster (None: of this machine alone) whose nodes share the project's folder, the data and the output at the
    same paths. A stage that loses its node goes on from its last checkpoint on another. Raises BadInput."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"} | os.environ
    try:
        import ray

        ray.init(address or "local", runtime_env={"env_vars": {"PYTHONPATH": str(NOTEBOOKS)}}, logging_level="ERROR")
    except Exception as error:  # noqa: BLE001  Ray raises that, and a dozen others
        why = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"no Ray cluster answers ({why}): start it, or leave --address out.") from None
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
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
    """Execute a stage's notebook, and show what its cells print, with progress `bars`; "" or why it failed. A kernel that
    dies, or is silent for `timeout` seconds, is started once more. gpus: one for each thread; none are all."""
    from papermill import PapermillExecutionError, execute_notebook

    label, folder = stage.executed.stem, stage.executed.parent
    if not folder.exists():
        return f"node {os.uname().nodename} does not see {folder}: share it at the same path on every node"
    pools = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
    environ = os.environ | dict.fromkeys(pools, str(threads)) | {"NO_ALBUMENTATIONS_UPDATE": "1"}
    if gpus:
        slot = int(re.search(r"\d*$", threading.current_thread().name)[0] or 0)  # a pool counts its threads
        environ["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
    notebook, said = NOTEBOOKS / f"{stage.notebook}.ipynb", f"== {label}"
    for _ in range(2):
        print(f"{said}\n", end="", flush=True)  # in one piece: others print, too
        try:
            with kernel(environ, timeout, bars) as how:
                execute_notebook(notebook, stage.executed, stage.parameters, progress_bar=False, **how)
            return ""
        except PapermillExecutionError as error:
            return " ".join(f"{error.ename}: {error.evalue}".removeprefix("BadInput: ").split())
        except Exception as error:  # noqa: BLE001  whatever it dies of
            why = str(error).strip().split("\n")[-1] or type(error).__name__
        if kpl.files.no_room(why):
            break
        said = f"== {label}: {why}; it is started once more"
    return why


@contextmanager
def kernel(environ: dict[str, str], timeout: float, bars: bool) -> Iterator[dict[str, Any]]:
    """What makes papermill use a kernel of ours, which ends with this context or with us, and all that it has started with
    it. One that is silent for too long counts as dead. Raises RuntimeError."""
    from jupyter_client import AsyncKernelManager
    from jupyter_core.utils import run_sync

    manager, out, err, null = AsyncKernelManager(), Shown(bars), Shown(bars), subprocess.DEVNULL
    run_sync(manager.start_kernel)(env=environ, cwd=str(NOTEBOOKS.parent), stdout=null, stderr=null)
    client, process = manager.client(), manager.provisioner.process

    silent = lambda: time.monotonic() - max(out.heard, err.heard) > timeout
    client.is_alive = lambda: process.poll() is None and not silent()  # what papermill asks every second
    manager.client = lambda: client  # it would leave its own open
    try:
        ready = lambda notebook: manager.cleanup_connection_file()  # it has been read, and must not stay behind
        yield {"km": manager, "on_notebook_start": ready, "stdout_file": out, "stderr_file": err}
        run_sync(manager.shutdown_kernel)()
    except RuntimeError as error:  # nbclient's DeadKernelError, say
        raise RuntimeError(f"it printed nothing for {timeout / 60:.3g} minutes") if silent() else error from None
    finally:
        client.stop_channels()
        run_sync(manager.shutdown_kernel)(now=True)  # its process group; files are written atomically: none is torn


class Shown:
    """A file for what cells print: passed on by whole lines and without progress bars, unless those are wanted too."""

    def __init__(self, bars: bool) -> None:
        self.bars, self.rest, self.heard, self.flush = bars, "", time.monotonic(), sys.stdout.flush

    def write(self, text: str) -> None:
        self.heard = time.monotonic()
        *lines, self.rest = (self.rest + text).split("\n")
        whole = [line.rsplit("\r", 1)[-1].rstrip() for line in lines]
        print(text if self.bars else "".join(line + "\n" for line in whole if line), end="", flush=True)
