"""What training runs on: precision and tracker (through Hugging Face Accelerate), and how much memory holds."""

import ctypes
import importlib.util
import logging
import os
import re
from collections.abc import Callable
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils.memory import should_reduce_batch_size

from kpl.config import TrainFold
from kpl.errors import BadInput

T = TypeVar("T")
# What a scheduler tells the processes of a group, and torch and Accelerate believe: a notebook is a process of its own.
OF_A_GROUP = re.compile(r"(\w+_)?(RANK|WORLD_SIZE)|MASTER_(ADDR|PORT)|(MPI|OMPI|PMI|MV2|TORCHELASTIC|ACCELERATE)_\w+")


def start(p: TrainFold) -> Accelerator:
    """The accelerator of a run. Raises BadInput for a precision or a tracker that is not to be had here."""
    for name in filter(OF_A_GROUP.fullmatch, [*os.environ]):
        del os.environ[name]
    gpu = torch.cuda.is_available()
    if gpu:
        torch.backends.cudnn.benchmark = True  # batches have two shapes at most; to try its ways takes up to a minute
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    keep_memory()
    if p.tracker != "none" and importlib.util.find_spec(p.tracker) is None:
        raise BadInput(f"tracker {p.tracker!r} is not installed: pip install {p.tracker}, or take 'tensorboard'.")
    AcceleratorState._reset_state()  # a run before this one in the same process may have had another precision
    chosen = precision(p.precision, gpu).replace("fp32", "no")
    tracker = None if p.tracker == "none" else p.tracker
    return Accelerator(cpu=not gpu, mixed_precision=chosen, log_with=tracker, project_dir=str(p.run_folder))


def keep_memory() -> None:
    """Lets glibc keep what was freed: each step wants as much again, and new pages cost it up to half of its time."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # else the system has its own way
        for option, value in ((-4, 0), (-1, -1)):  # M_MMAP_MAX, M_TRIM_THRESHOLD of malloc.h
            libc.mallopt(option, value)


def precision(asked: str, gpu: bool) -> str:
    """What the parameter `precision` comes to. Raises BadInput for fp16 without a GPU.

    "auto" is bf16 on a GPU that has it in hardware, fp16 on one that only emulates it (T4, P100), and fp32 on a CPU,
    where bf16 is faster for ResNet-18 and ConvNeXt, but slower for networks with depthwise convolutions.
    """
    if asked == "fp16" and not gpu:
        raise BadInput("precision 'fp16' needs a GPU: take 'auto', 'fp32' or 'bf16' here.")
    if asked != "auto" or not gpu:
        return asked.replace("auto", "fp32")
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def fitting(attempt: Callable[[int], T], size: int, where: str) -> tuple[T, int]:
    """`attempt(size)`, with half the size as often as memory runs out; also the size that fitted. Raises BadInput if
    one sample is too much."""
    while True:
        try:
            return attempt(size), size
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and not should_reduce_batch_size(error):
                raise
            if size == 1:
                said = "the memory does not hold one sample: take a smaller image_size or backbone."
                raise BadInput(f"{where}: {said}") from error
        size = (size + 1) // 2
        torch.cuda.empty_cache()
        said = "%s: the memory is full: passes of %d samples from here on, as many as make the same step."
        logging.getLogger("kpl").warning(said, where, size)
