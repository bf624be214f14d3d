"""The local engine: stages side by side on this machine, its cores and GPUs shared out so that they do not fight."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from kpl.conduct import notebook
from kpl.conduct.stages import Outcome, Stage


def run(stages: list[Stage], output: Path, jobs: int, timeout: float, gpus: int = 0) -> Iterator[Outcome]:
    """Run the stages, `jobs` at once, and yield each as it ends. Closed early, it ends those that run."""
    jobs = min(jobs, len(stages))
    slots = list(range(jobs))
    stop = threading.Event()

    def one(stage: Stage) -> Outcome:
        slot = slots.pop()  # never empty: there are as many as threads, and a list's pop is atomic
        started = time.time()
        print(f"== {stage.label}", flush=True)
        try:
            environ = environment(threads(jobs), slot % gpus if gpus else None)
            whole_lines = jobs > 1 or not sys.stdout.isatty()
            failure = notebook.run(stage, output, environ, timeout, whole_lines, stop)
        finally:
            slots.append(slot)
        return Outcome(stage, time.time() - started, failure)

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(one, stage) for stage in stages]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()  # first, so that none takes the place of one that is stopped
            stop.set()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads(jobs: int) -> int:
    """Threads for each of `jobs` side by side."""
    return max(1, cores() // jobs)


def environment(threads: int, gpu: int | str | None = None) -> dict:
    """The environment of a stage that may use so many threads, and one GPU (None: whatever is visible)."""
    pools = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
    quiet = {"NO_ALBUMENTATIONS_UPDATE": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    environ = os.environ | dict.fromkeys(pools, str(threads)) | quiet
    return environ if gpu is None else environ | {"CUDA_VISIBLE_DEVICES": str(gpu)}


def gpu_count() -> int:
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
    except FileNotFoundError:
        return 0
    return sum(line.startswith("GPU ") for line in listed.splitlines())
