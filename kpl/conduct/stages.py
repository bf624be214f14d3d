"""The stages of the whole job: notebooks with parameters, which of them are finished, and running the others.

Beside each executed notebook lies a marker with a checksum of the notebook, its parameters and what it reads; a stage
whose marker agrees is not repeated, whichever engine ran it.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kpl.conduct import disk
from kpl.config import ROOT

NOTEBOOKS = ROOT / "notebooks"


@dataclass(frozen=True)
class Stage:
    """One notebook with its parameters."""

    label: str  # names its executed copy
    notebook: str
    parameters: dict
    inputs: str  # checksum of what it reads


@dataclass(frozen=True)
class Outcome:
    """How a stage ended."""

    stage: Stage
    seconds: float
    failure: str = ""  # one sentence; "" is success
    machine: str = ""  # where it ran; "" is here


Engine = Callable[[list[Stage], Path], Iterator[Outcome]]  # runs stages, yields each as it ends, cleans up when closed


class StageFailed(Exception):
    """One sentence that says which stage failed, why, and where its executed notebook is."""


def run_stages(stages: list[Stage], output: Path, engine: Engine) -> str:
    """Run those that are not finished, and return a checksum that stands for all of them.

    A stage that fails does not keep the others from being run, unless the disk is full. Raises StageFailed at the end.
    """
    keys = {stage.label: checksum(stage) for stage in stages}
    waiting = [stage for stage in stages if not is_finished(stage, keys[stage.label], output)]
    for stage in stages:
        if stage not in waiting:
            print(f"== {stage.label}: finished before", flush=True)
    finished, failures = len(stages) - len(waiting), []
    with closing(engine(waiting, output) if waiting else iter_nothing()) as outcomes:
        for outcome in outcomes:
            if outcome.failure:
                failures.append(outcome.failure)
                if disk.is_full(outcome.failure):
                    break
                if len(waiting) > 1:
                    print(f"== {outcome.failure}; the others go on", flush=True)
                continue
            marker(outcome.stage, output).write_text(keys[outcome.stage.label])
            finished += 1
            count = f" ({finished} of {len(stages)} finished)" if len(stages) > 1 else ""
            where = f" on {outcome.machine}" if outcome.machine else ""
            print(f"== {outcome.stage.label}: {outcome.seconds:.0f} s{where}{count}", flush=True)
    if failures:
        raise StageFailed(summary(failures, finished, len(stages), output))
    return hashlib.sha256("".join(keys.values()).encode()).hexdigest()


def iter_nothing() -> Iterator[Outcome]:
    yield from ()


def summary(failures: list[str], finished: int, total: int, output: Path) -> str:
    """One sentence for what failed, what is kept, and how to go on."""
    full = f"; {disk.state(output)}: make room" if any(map(disk.is_full, failures)) else ""
    others = f"; so did {len(failures) - 1} others, see above" if len(failures) > 1 else ""
    kept = f"; {finished} of {total} such stages are finished and kept" if total > 1 else ""
    return f"{failures[0]}{others}{full}{kept}; the same command goes on from here."


def checksum(stage: Stage) -> str:
    """Changes with the notebook, its parameters, and what it reads."""
    digest = hashlib.sha256((NOTEBOOKS / f"{stage.notebook}.ipynb").read_bytes())
    digest.update(json.dumps([stage.parameters, stage.inputs], sort_keys=True).encode())
    return digest.hexdigest()


def listing(folder: Path) -> str:
    """A checksum of the names, sizes and times of a folder's files."""
    digest = hashlib.sha256()
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            status = os.stat(os.path.join(parent, name))
            digest.update(f"{parent}/{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def executed_notebook(stage: Stage, output: Path) -> Path:
    return output / "notebooks" / f"{stage.label}.ipynb"


def marker(stage: Stage, output: Path) -> Path:
    return executed_notebook(stage, output).with_suffix(".done")


def is_finished(stage: Stage, key: str, output: Path) -> bool:
    return marker(stage, output).exists() and marker(stage, output).read_text() == key
