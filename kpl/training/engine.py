"""What training runs on: device, precision, tracker (through Hugging Face Accelerate), and the layout of pictures."""

import copy
import importlib.util
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import nn

from kpl.config import TrainFold
from kpl.errors import BadInput

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
TRACKERS = ("tensorboard", "wandb", "mlflow", "none")
SILENCE = timedelta(minutes=10)  # after which processes that wait for each other give up
STEPS_TIMED = 3


def start(config: TrainFold) -> Accelerator:
    """The accelerator of a run. Raises BadInput for a precision or a tracker that is not to be had here."""
    gpu = torch.cuda.is_available()
    if gpu:
        torch.backends.cudnn.benchmark = True  # every batch has the same shape
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    AcceleratorState._reset_state()  # a run before this one in the same process may have had another precision
    return Accelerator(
        cpu=not gpu,
        mixed_precision=precision(config.precision, gpu),
        log_with=tracker(config.tracker),
        project_dir=str(config.run_folder),
        # A network may leave a branch out of a step: what stands for a missing view, for instance.
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=True),
            InitProcessGroupKwargs(timeout=SILENCE),
        ],
    )


def precision(name: str, gpu: bool) -> str:
    """Accelerate's word for a precision. Raises BadInput for fp16 without a GPU.

    "auto" is bf16 on a GPU that has it, fp16 on one that has not, and fp32 on a CPU: with AVX-512 there, steps in bf16
    were 1.4 to 1.8 times as fast for ResNet-18 and ConvNeXt, but took longer for small networks with depthwise
    convolutions (0.65 to 0.85 times as fast for EfficientNet-B3 and HGNetV2-B0).
    """
    if name == "auto":
        name = ("bf16" if torch.cuda.is_bf16_supported() else "fp16") if gpu else "fp32"
    if name == "fp16" and not gpu:
        raise BadInput("precision 'fp16' needs a GPU: take 'auto', 'fp32' or 'bf16' here.")
    return "no" if name == "fp32" else name


def tracker(name: str) -> str | None:
    """Accelerate's word for a tracker. Raises BadInput if its package is not installed."""
    if name != "none" and importlib.util.find_spec(name) is None:
        raise BadInput(f"tracker {name!r} is not installed: pip install {name}, or take 'tensorboard' or 'none'.")
    return None if name == "none" else name


@contextmanager
def tracking(accelerator: Accelerator, config: TrainFold, finished: int) -> Iterator[None]:
    """The tracker's logs of a run that has `finished` epochs; TensorBoard's go to <run folder>/tensorboard."""
    own = {
        "tensorboard": {"purge_step": finished + 1},  # what a killed run had logged beyond its checkpoint
        "wandb": {"name": f"{config.run_name}/fold{config.fold}", "dir": str(config.run_folder)},
        "mlflow": {"run_name": f"{config.run_name}/fold{config.fold}"},
    }
    project = "tensorboard" if config.tracker == "tensorboard" else "kpl"
    accelerator.init_trackers(project, init_kwargs={config.tracker: own.get(config.tracker, {})})
    try:
        yield
    finally:
        for each in accelerator.trackers:
            each.finish()
        accelerator.trackers.clear()


def channels_last_is_faster(network: nn.Module, image_size: int, batch_size: int) -> bool:
    """Whether the network's steps are faster with channels last. On a CPU they are, by a fifth; on a GPU some backbones
    gain and some lose much (ResNeSt: three times slower), so there it is timed."""
    device = next(network.parameters()).device
    if device.type == "cpu":
        return True
    views = torch.randint(0, 255, (batch_size, 3, image_size, image_size, 3), dtype=torch.uint8, device=device)
    seconds = {}
    for layout in (torch.contiguous_format, torch.channels_last):
        trial = copy.deepcopy(network).to(memory_format=layout).train()
        for step in range(2 * STEPS_TIMED):
            if step == STEPS_TIMED:  # the first ones choose algorithms
                torch.cuda.synchronize()
                started = time.perf_counter()
            with torch.autocast("cuda", torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16):
                trial(views).points3d.float().mean().backward()
        torch.cuda.synchronize()
        seconds[layout] = time.perf_counter() - started
    return seconds[torch.channels_last] < seconds[torch.contiguous_format]
