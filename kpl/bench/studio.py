"""How many samples a second the studio makes, as face crops and as full frames, and where the time goes.

`./run_all.sh bench studio`: as many processes as cores, started and warm, each making whole subjects of 7 expressions
(three views, shadows, JPEG files written to a temporary folder). Then one process makes them alone, under a profiler.
"""

import argparse
import cProfile
import multiprocessing
import pstats
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier, Lock
from pathlib import Path

import pandas as pd

from kpl import config
from kpl.conduct import local
from kpl.studio import worker
from kpl.studio.body import head
from kpl.studio.dataset.settings import Settings
from kpl.studio.paint import skin
from kpl.studio.picture import devices, render, scenery, sensor

_PARTS: dict[str, Callable] = {
    "subject: skin": skin.paint,
    "head: shape and normals": head.shape_head,
    "mesh, shadows": render.Stage.place,
    "view: background": scenery.background,
    "view: render": render.Stage.render,
    "view: blur": sensor.blurred,
    "view: sensor, JPEG": sensor.develop,
}
_WARM_UP = 39_000  # a subject number that is never timed

_barrier: Barrier | None = None


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="./run_all.sh bench studio", description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=4, help="subjects that each process makes")
    parser.add_argument("--jobs", type=int, default=local.cores(), help="processes")
    parser.add_argument("--scale", type=float, default=1.0, help="of the full frames; 1 is 1280 x 720")
    parser.add_argument("--crop-size", type=int, default=256, help="side of the crops, in pixels")
    parser.add_argument("--device", choices=devices.CHOICES, default="cpu")
    parser.add_argument("--out", type=Path, default=config.ROOT / "output" / "bench" / "studio.csv")
    options = parser.parse_args(arguments)
    kinds = {
        f"crops of {options.crop_size} px": Settings(scale=1.0, crop_size=options.crop_size),
        f"full frames, scale {options.scale:g}": Settings(scale=options.scale),
    }
    device = devices.choose(options.device)
    found = {name: measure(settings, options.jobs, options.subjects, device) for name, settings in kinds.items()}

    from kpl.bench.report import publish  # here: it imports torch, which the studio's processes have no use for

    publish(pd.DataFrame([{"pictures": name, **speed} for name, (speed, _) in found.items()]), options.out)
    parts = pd.DataFrame({f"CPU s a sample, {name}": seconds for name, (_, seconds) in found.items()})
    publish(parts.rename_axis("part").reset_index(), options.out.with_name(f"{options.out.stem}_parts.csv"))


def measure(settings: Settings, jobs: int, subjects: int, device: str = "cpu") -> tuple[dict, dict]:
    """Speed of `jobs` processes that make `subjects` subjects each, and one process' CPU seconds a sample by part."""
    context = multiprocessing.get_context("spawn")
    shared = (context.Lock(), context.Barrier(jobs), config.path("input/.cache"), settings.scale, device)
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(jobs, context, _start, shared) as pool:
        root = Path(folder)
        for task in [pool.submit(_warm_up, root, _WARM_UP + job, settings) for job in range(jobs)]:
            task.result()
        started = time.perf_counter()
        tasks = [pool.submit(_make, root, number, settings) for number in range(1, jobs * subjects + 1)]
        used, memory = zip(*(task.result() for task in tasks), strict=True)
        seconds = time.perf_counter() - started
        samples = len(tasks) * settings.expressions
        parts = pool.submit(_profile, root, range(1, subjects + 1), settings).result()
    speed = {
        "processes": jobs,
        "samples": samples,
        "samples/s": round(samples / seconds, 2),
        "CPU s a sample": round(sum(used) / samples, 3),
        "peak memory, GB": round(max(memory), 3),
    }
    return speed, parts


def _start(lock: Lock, barrier: Barrier, cache: Path, scale: float, device: str) -> None:
    global _barrier
    _barrier = barrier
    worker.start(lock, cache, scale, device)


def _warm_up(root: Path, number: int, settings: Settings) -> None:
    """Once in each process: none takes a second subject before all have one."""
    _barrier.wait()
    worker.make_subject(root, number, settings)


def _make(root: Path, number: int, settings: Settings) -> tuple[float, float]:
    """CPU seconds of one subject, and the process' largest memory so far (GB)."""
    started = time.process_time()
    worker.make_subject(root, number, settings)
    return time.process_time() - started, peak_memory()


def _profile(root: Path, numbers: range, settings: Settings) -> dict[str, float]:
    """CPU seconds a sample by part, and of all that is none of them."""
    profile = cProfile.Profile(time.process_time)
    for number in numbers:
        profile.runcall(worker.make_subject, root, number, settings)
    stats = pstats.Stats(profile)
    samples = len(numbers) * settings.expressions
    parts = {name: _cumulative(stats, part) / samples for name, part in _PARTS.items()}
    parts["everything else"] = stats.total_tt / samples - sum(parts.values())
    return {name: round(seconds, 4) for name, seconds in parts.items()}


def _cumulative(stats: pstats.Stats, function: Callable) -> float:
    code = function.__code__
    return stats.stats.get((code.co_filename, code.co_firstlineno, code.co_name), (0, 0, 0, 0.0))[3]


def peak_memory() -> float:
    """The largest memory (GB) that this process has had resident; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith("VmHWM")), 0.0)
