"""`python -m kpl.conduct.child PARENT ...`: papermill, which ends at once when the process PARENT ends.

A conductor, or a cluster's worker, that is killed must not leave a training behind that writes into the same folder as
the one that takes its place. The notebook's kernel watches papermill in turn.
"""

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    parent = int(sys.argv[1])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we could ask
        sys.exit(1)
    sys.argv = ["papermill", *sys.argv[2:]]
    runpy.run_module("papermill", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
