"""What a training step takes on a GPU, for the profile `full`: `./run_all.sh bench memory`, on a machine that has one."""

import argparse
import time

import torch

from kpl import networks
from kpl.cameras import Shapes
from kpl.errors import BadInput
from kpl.landmarks import MEAN_SHAPE

BACKBONES = ("effb3", "effb4", "effb5", "effb6", "seresnet152d", "resnest200e", "resnet200d", "vit_small")
STEPS = 3  # timed ones, after as many that are not


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="./run_all.sh bench memory", description=__doc__)
    parser.add_argument("--backbones", nargs="+", default=BACKBONES)
    parser.add_argument("--sizes", nargs="+", type=int, default=(384, 448, 528))
    parser.add_argument("--batch", type=int, default=8, help="samples of three pictures; default: %(default)s")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        raise BadInput("memory is measured on a GPU, and this machine has none: run it on one that has.")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {options.batch} samples")
    for backbone in options.backbones:
        for size in options.sizes:
            peak, seconds = measured(backbone, size, options.batch)
            print(f"{backbone:14} {size} px {peak:5.1f} GiB {options.batch / seconds:6.1f} samples/s", flush=True)


def measured(backbone: str, size: int, batch: int) -> tuple[float, float]:
    """Peak of allocated memory in GiB and seconds of a step in fp16: late fusion, an encoder a view, `fc`, AdamW."""
    torch.cuda.empty_cache()
    mean, scale = torch.from_numpy(MEAN_SHAPE).float(), torch.full((106, 3), 0.05)
    network = networks.create(backbone, size, "late", "none", "fc", 0.1, Shapes(mean, scale)).cuda().train()
    if not backbone.startswith("resnest"):
        network.to(memory_format=torch.channels_last)
    optimizer, scaler = torch.optim.AdamW(network.parameters(), 1e-4, fused=True), torch.amp.GradScaler("cuda")
    views = torch.randint(0, 255, (batch, 3, size, size, 3), dtype=torch.uint8, device="cuda")
    truth, points2d = (mean + 0.01).cuda().expand(batch, -1, -1), torch.rand(batch, 3, 106, 2, device="cuda")
    torch.cuda.reset_peak_memory_stats()
    for step in range(2 * STEPS):
        if step == STEPS:
            torch.cuda.synchronize()
            started = time.perf_counter()
        with torch.autocast("cuda", torch.float16):
            answer = network(views)
        answer = networks.Answer(*(part.float() for part in answer))
        loss = networks.LOSSES["l1"](answer, truth, scale.cuda()) + networks.points2d_loss(answer.maps, points2d)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() / 2**30, (time.perf_counter() - started) / STEPS
