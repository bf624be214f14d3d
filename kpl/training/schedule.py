"""The learning rate as a function of the step, so that it neither drifts over long runs nor needs a state to resume."""

import math


def rate(step: int, total: int, warmup: int, cycles: int) -> float:
    """The share of the full rate at a step (from 0) of `total`: linear warm-up over the first `warmup` steps, then
    cosine cycles of equal length with warm restarts (SGDR, Loshchilov and Hutter 2017), as torch's
    CosineAnnealingWarmRestarts.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    length = -(-(total - warmup) // cycles)
    return (1 + math.cos(math.pi * ((step - warmup) % length) / length)) / 2
