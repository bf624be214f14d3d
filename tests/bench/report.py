"""How a benchmark says what it found: the machine in a line, and a table that is also kept as CSV."""

import os
import platform
from argparse import ArgumentParser
from pathlib import Path

import pandas as pd
from joblib import cpu_count

from kpl.config import path
from kpl.files import atomic


def parser(name: str, doc: str) -> ArgumentParser:
    """The options that every benchmark has: --out, by default output/bench/<name>.csv."""
    made = ArgumentParser(prog=f"./run_all.sh bench {name}", description=doc.partition("\n")[0])
    made.add_argument("--out", type=path, default=path(f"output/bench/{name}.csv"), help="the table (CSV)")
    return made


def machine() -> str:
    """The machine in a line: processor, cores, memory, GPU, and the versions that matter."""
    import torch  # here: the studio's processes have no use for it

    told = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in told if line.startswith("model name")]
    processor = (names or [platform.processor() or platform.machine()])[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{processor}, {cpu_count()} cores, {memory:.0f} GiB, {gpu}; {versions}"


def peak_memory() -> float:
    """The most memory (GB) that this process has had resident so far; 0 where the system does not say.

    Not resource's ru_maxrss, which a process inherits from the one that started it.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith("VmHWM")), 0.0)


def publish(table: pd.DataFrame, file: Path) -> None:
    """Print a table with the machine above it, and keep both as CSV (the machine as a comment line)."""
    print(f"\n{machine()}\n{table.to_string(index=False)}\n-> {file}", flush=True)
    with atomic(file) as temporary:
        Path(temporary).write_text(f"# {machine()}\n{table.to_csv(index=False)}")
