"""The command of a tiny run, as a person gives it."""

import sys
from pathlib import Path

from kpl.config import NOTEBOOKS


def command(data: Path, output: Path, *arguments: str, jobs: bool = True) -> list[str]:
    tiny = ["--profile", "tiny", *(["--jobs", "2"] if jobs else [])]
    return [
        *(sys.executable, str(NOTEBOOKS / "run_all.py"), *tiny),
        *("--data", str(data), "--output", str(output), *arguments),
    ]
