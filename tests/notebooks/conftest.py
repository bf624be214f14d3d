"""The conductor lies beside the notebooks, outside the package."""

import subprocess
import sys
from pathlib import Path

import pytest

from notebooks.tiny import command

sys.path.insert(0, str(Path(__file__).parents[2] / "notebooks"))


@pytest.fixture
def run_here(monkeypatch, capfd):
    """Run the command in this process, which has torch already: for runs that end soon."""
    import run_all

    def run(data: Path, output: Path, *arguments: str, jobs: bool = True) -> subprocess.CompletedProcess:
        monkeypatch.setattr(sys, "argv", command(data, output, *arguments, jobs=jobs)[1:])
        try:
            code = run_all.main()
        except SystemExit as refused:
            code = refused.code
        return subprocess.CompletedProcess(sys.argv, code, *capfd.readouterr())

    return run
