"""What training runs on: precision and tracker (through Hugging Face Accelerate), memory, and the layout of pictures."""

import copy
import importlib.util
import logging
from collections.abc import Callable
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils.memory import should_reduce_batch_size
from torch import nn
from torch.utils.benchmark import Timer

from kpl.config import TrainFold
from kpl.errors import BadInput

T = TypeVar("T")


def start(p: TrainFold) -> Accelerator:
    """The accelerator of a run. Raises BadInput for a precision or a tracker that is not to be had here."""
    gpu = torch.cuda.is_available()
    if gpu:
        torch.backends.cudnn.benchmark = True  # every batch has the same shape
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    if p.tracker != "none" and importlib.util.find_spec(p.tracker) is None:
        raise BadInput(f"tracker {p.tracker!r} is not installed: pip install {p.tracker}, or take 'tensorboard'.")
    AcceleratorState._reset_state()  # a run before this one in the same process may have had another precision
    chosen = precision(p.precision, gpu).replace("fp32", "no")
    tracker = None if p.tracker == "none" else p.tracker
    return Accelerator(cpu=not gpu, mixed_precision=chosen, log_with=tracker, project_dir=str(p.run_folder))


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


def channels_last_is_faster(network: nn.Module, image_size: int, batch_size: int, dtype: str) -> bool:
    """Whether the network's steps are faster with channels last. On a CPU they are, by a fifth; on a GPU some backbones
    gain and some lose much (ResNeSt: three times slower), so there it is timed."""
    device = next(network.parameters()).device
    if device.type == "cpu":
        return True
    views = torch.randint(0, 255, (batch_size, 3, image_size, image_size, 3), dtype=torch.uint8, device=device)
    kind = torch.bfloat16 if dtype == "bf16" else torch.float16

    def seconds(layout: torch.memory_format) -> float:
        trial = copy.deepcopy(network).to(memory_format=layout).train()

        def step() -> None:
            with torch.autocast("cuda", kind, enabled=dtype != "fp32"):
                trial(views).points3d.float().mean().backward()

        return Timer("step()", globals={"step": step}).timeit(3).mean  # after steps that choose algorithms

    return seconds(torch.channels_last) < seconds(torch.contiguous_format)
