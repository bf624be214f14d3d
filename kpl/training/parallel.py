"""One fold on several GPUs (or cores): processes started by torchrun that share every batch."""

import json
import os
import re
import subprocess
import sys
import threading
from collections import deque
from dataclasses import asdict

import torch

from kpl.config import ROOT, TrainFold
from kpl.errors import BadInput

SENTENCE = "kpl: "  # how a process announces why it ends
NOISE = re.compile(r"(\[rank\d+\]:)?\[?[WEI]\d{4} ")  # torch's own log


def is_one_of_several() -> bool:
    """Whether this process was started by torchrun."""
    return "LOCAL_RANK" in os.environ


def launch(config: TrainFold) -> None:
    """Train a fold in `config.processes` processes and wait for them. Raises BadInput with the sentence of one that
    failed.

    They end when this process does: they watch a pipe that breaks.
    """
    gpus = torch.cuda.device_count()
    if 0 < gpus < config.processes:
        raise BadInput(f"processes is {config.processes}, but this machine has {gpus} GPUs: take one process a GPU.")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={config.processes}"]
    command += ["-m", "kpl.train", json.dumps(asdict(config))]
    environ = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // config.processes))} | os.environ
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    tail: deque[str] = deque(maxlen=30)
    sentences = []
    try:
        for line in process.stdout:
            if line.startswith(SENTENCE):
                sentences.append(line.removeprefix(SENTENCE).strip())
            elif not NOISE.match(line):
                print(line, end="", flush=True)
            tail.append(line)
    finally:
        process.stdin.close()
        code = process.wait()
    if sentences:
        raise BadInput(sentences[0])
    if code:
        raise RuntimeError(f"the processes of {config.run_folder} ended with code {code}:\n" + "".join(tail))


def end_with_parent() -> None:
    """End this process when the one that launched it has ended, and its end of the pipe with it."""

    def watch() -> None:
        os.read(sys.stdin.fileno(), 1)  # nothing is ever written
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
