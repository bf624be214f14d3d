"""Where the kernels run: on the CPU, or on a GPU."""

import os

import warp as wp

from kpl.errors import BadInput

CHOICES = ("auto", "cpu", "cuda")


def choose(name: str) -> str:
    """Warp's name of the device: 'cpu', or the first GPU for 'cuda', and for 'auto' where there is one. Raises BadInput
    for a GPU that is not there."""
    if name == "cpu":
        return "cpu"
    start_warp()
    if wp.is_cuda_available():
        return "cuda:0"
    if name == "cuda":
        raise BadInput("No CUDA device can be used here: check the driver with nvidia-smi, or take --device cpu.")
    return "cpu"


def start_warp() -> None:
    """Start Warp without its word on a missing GPU, which its library writes across the progress bar."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            wp.init()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
