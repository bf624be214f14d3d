"""Notebooks run in this process, cell by cell: how tests and benches train a fold, whose loop stands in a notebook.

python -m cells 02_train_fold '{"fold": 1}'     the same in a process of its own, from the folder tests
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib

from kpl import config
from kpl.errors import BadInput


def run(notebook: str, look: bool = False, **parameters) -> dict:
    """Execute the code cells of a notebook with these parameters, and return what its globals are then.

    Cells tagged "look", which only draw, are left out unless asked for. Raises what a cell raises.
    """
    matplotlib.use("Agg")
    (first,) = config.cells(notebook, "parameters")
    scope = {"__name__": "__main__", "display": lambda *shown: None}
    exec(compile(first, f"{notebook}, parameters", "exec"), scope)
    scope |= {"In": [first, "# Parameters\n" + "\n".join(f"{name} = 0" for name in parameters)]} | parameters
    for number, source in enumerate(config.cells(notebook, "", "method", *(["look"] if look else []))):
        exec(compile(source, f"{notebook}, cell {number}", "exec"), scope)
    return scope


def start(notebook: str, parameters: dict, threads: int) -> subprocess.Popen:
    """The same in a process of its own, on so many threads."""
    own = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    command = [sys.executable, "-m", "cells", notebook, json.dumps(parameters)]
    here = Path(__file__).parent
    return subprocess.Popen(command, cwd=here, env=os.environ | own, stdout=subprocess.DEVNULL)


def main(notebook: str, parameters: str) -> int:
    try:
        run(notebook, **json.loads(parameters))
    except BadInput as error:
        print(f"cells: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
