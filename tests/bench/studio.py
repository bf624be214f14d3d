"""How many samples a second the studio makes, as face crops and as full frames.

`./run_all.sh bench studio`: as many processes as cores, started and warm, each making whole subjects of 7 expressions
(three views, shadows, JPEG files written to a temporary folder).
"""

import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier, Lock
from pathlib import Path

import pandas as pd
from joblib import cpu_count

from bench import report
from kpl import config
from kpl.studio import worker
from kpl.studio.dataset.settings import Settings
from kpl.studio.picture import devices

WARM_UP = 39_000  # a subject number that is never timed

_barrier: Barrier | None = None


def main(arguments: list[str]) -> None:
    parser = report.parser("studio", __doc__)
    parser.add_argument("--subjects", type=int, default=4, help="subjects that each process makes")
    parser.add_argument("--jobs", type=int, default=cpu_count(), help="processes")
    parser.add_argument("--scale", type=float, default=1.0, help="of the full frames; 1 is 1280 x 720")
    parser.add_argument("--crop-size", type=int, default=256, help="side of the crops, in pixels")
    parser.add_argument("--device", choices=devices.CHOICES, default="cpu")
    options = parser.parse_args(arguments)
    kinds = {
        f"crops of {options.crop_size} px": Settings(scale=1.0, crop_size=options.crop_size),
        f"full frames, scale {options.scale:g}": Settings(scale=options.scale),
    }
    device = devices.choose(options.device)
    found = {name: measured(settings, options.jobs, options.subjects, device) for name, settings in kinds.items()}
    report.publish(pd.DataFrame([{"pictures": name, **speed} for name, speed in found.items()]), options.out)


def measured(settings: Settings, jobs: int, subjects: int, device: str) -> dict[str, float]:
    """Speed of `jobs` processes that make `subjects` subjects each."""
    context = multiprocessing.get_context("spawn")
    shared = (context.Lock(), context.Barrier(jobs), config.path("input/.cache"), settings.scale, device)
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(jobs, context, _start, shared) as pool:
        root = Path(folder)
        for task in [pool.submit(_warm_up, root, WARM_UP + job, settings) for job in range(jobs)]:
            task.result()
        started = time.perf_counter()
        tasks = [pool.submit(_make, root, number, settings) for number in range(1, jobs * subjects + 1)]
        used, memory = zip(*(task.result() for task in tasks), strict=True)
        seconds, samples = time.perf_counter() - started, len(tasks) * settings.expressions
    speed = {"processes": jobs, "samples": samples, "samples/s": round(samples / seconds, 2)}
    return speed | {"CPU s a sample": round(sum(used) / samples, 3), "peak memory, GB": round(max(memory), 3)}


def _start(lock: Lock, barrier: Barrier, cache: Path, scale: float, device: str) -> None:
    global _barrier
    _barrier = barrier
    worker.start(lock, cache, scale, device, "40")


def _warm_up(root: Path, number: int, settings: Settings) -> None:
    """Once in each process: none takes a second subject before all have one."""
    _barrier.wait()
    worker.make_subject(root, number, settings)


def _make(root: Path, number: int, settings: Settings) -> tuple[float, float]:
    """CPU seconds of one subject, and the process' largest memory so far (GB)."""
    started = time.process_time()
    worker.make_subject(root, number, settings)
    return time.process_time() - started, report.peak_memory()
