"""How a benchmark says what it found: the machine in a line, and a table that is also kept as CSV."""

import os
import platform
from pathlib import Path

import pandas as pd
import torch

from kpl.files import atomic


def machine() -> str:
    """The machine in a line: processor, cores, memory, GPU, and the versions that matter."""
    processor = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if os.path.exists("/proc/cpuinfo") else []:
        if line.startswith("model name"):
            processor = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{processor}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, {gpu}; "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def publish(table: pd.DataFrame, file: Path) -> None:
    """Print a table with the machine above it, and keep both as CSV (the machine as a comment line)."""
    print(f"\n{machine()}\n{table.to_string(index=False)}\n-> {file}", flush=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic(file) as temporary:
        Path(temporary).write_text(f"# {machine()}\n{table.to_csv(index=False)}")
