"""One variant in a process of its own: train it, then measure what it finds and what it costs."""

import time
from collections.abc import Callable

import cells
import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bench.report import peak_memory
from kpl import score
from kpl.config import TrainFold, checked
from kpl.faces import FaceStore
from kpl.files import write_npz
from kpl.networks import SUBSETS, FaceNetwork
from kpl.train import Views, answered
from kpl.train.views import Batch, ahead

FILE = "measured.npz"
WARM_STEPS, TIMED_STEPS = 2, 8


def run(parameters: dict) -> None:
    """Train on one thread and leave measured.npz in the run folder; what is there already is kept.

    samples (H,) that were held out; nme, inner_nme (7, H) of each, seen through each subset of views; parameters,
    multiply_adds of a sample, samples_per_s in training, memory in GB.
    """
    p = checked(TrainFold, parameters)
    if (p.run_folder / FILE).exists():
        return
    torch.set_num_threads(1)
    done = cells.run("02_train_fold", **parameters)
    network, store, rows = done["run"].network, done["store"], done["held_rows"]
    points = subset_answers(network, store, p, rows)
    truth = store.points3d[rows]
    write_npz(
        p.run_folder / FILE,
        samples=store.table["sample"].to_numpy(dtype=str)[rows],
        nme=np.stack([score.nme(part, truth) for part in points]),
        inner_nme=np.stack([score.inner_nme(part, truth) for part in points]),
        **step_costs(network, some(store, p, done["train_rows"][: p.batch_size]), done["loss_of"]),
    )


def some(store: FaceStore, p: TrainFold, rows: np.ndarray) -> Batch:
    """Some rows of the store as one batch."""
    return next(ahead(Views(store, p.image_size), [[(0, int(row)) for row in rows]]))


def subset_answers(network: FaceNetwork, store: FaceStore, p: TrainFold, rows: np.ndarray) -> np.ndarray:
    """Shapes (7, R, 106, 3) from each subset of views, the others blacked out."""
    device, points = network.shape_mean.device, []
    kept = torch.tensor(SUBSETS, device=device)[:, None, :, None, None, None]  # (7, 1, 3, 1, 1, 1)
    network.eval()
    with torch.inference_mode():
        for part in np.array_split(rows, -(-len(rows) // p.batch_size)):
            views = some(store, p, part).views.to(device)
            points.append(torch.stack([answered(network, views * subset, twice=False) for subset in kept]))
    return torch.cat(points, dim=1).numpy()


def step_costs(network: FaceNetwork, batch: Batch, loss_of: Callable[[Batch], Tensor]) -> dict[str, float]:
    """Parameters, multiply-adds of one sample, samples/s of training steps on a ready batch, and the peak of memory.

    The network is trained a little further by it.
    """
    device = network.shape_mean.device
    gpu, batch = device.type == "cuda", batch.to(device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(batch.views[:1])
    optimizer = torch.optim.AdamW(network.train().parameters(), lr=1e-5)
    clock = time.perf_counter if gpu else time.process_time  # of one thread: others on its core do not count
    seconds = []
    for _ in range(WARM_STEPS + TIMED_STEPS):
        started = clock()
        optimizer.zero_grad(set_to_none=True)
        loss_of(batch).backward()
        optimizer.step()
        if gpu:
            torch.cuda.synchronize()
        seconds.append(clock() - started)
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "multiply_adds": counter.get_total_flops() / 2,
        "samples_per_s": len(batch.views) / float(np.median(seconds[WARM_STEPS:])),
        "memory": torch.cuda.max_memory_allocated() / 1e9 if gpu else peak_memory(),
    }
