"""One variant in a process of its own: train it, then measure what it finds and what it costs."""

import copy
import resource
import time

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from kpl import faces, score, train
from kpl.config import TrainFold
from kpl.faces import FaceStore
from kpl.files import read_json, write_npz
from kpl.losses import training_loss
from kpl.networks import SUBSETS, FaceNetwork
from kpl.training import build
from kpl.views import Views

FILE = "measured.npz"
WARM_STEPS, TIMED_STEPS = 2, 8


def run(config: TrainFold) -> None:
    """Train `config` on one thread and leave measured.npz in its run folder; what is there already is kept.

    nme, inner_nme: (7, H) of the H held-out samples seen through each subset of views; samples (H,); distance
    (7, H, 106) of each landmark from the truth, and predicted (7, H, 106), as the predicted spread has it, both RMS
    in canonical units; parameters, multiply_adds of a sample, samples_per_s in training, memory in bytes.
    """
    if (config.run_folder / FILE).exists():
        return
    torch.set_num_threads(1)
    store = faces.load(config.faces)
    train.train_fold(config, store)
    network = build.trained(config.run_folder, read_json(config.run_folder / "config.json"))
    rows = np.flatnonzero(train.hold_out(config, store))
    points, log_spread = subset_answers(network, store, config.image_size, rows, config.batch_size)
    truth = store.points3d[rows]
    costs = step_costs(network, store, config)
    write_npz(
        config.run_folder / FILE,
        samples=store.table["sample"].to_numpy(dtype=str)[rows],
        nme=np.stack([score.nme(part, truth) for part in points]),
        inner_nme=np.stack([score.inner_nme(part, truth) for part in points]),
        distance=np.linalg.norm(points - truth, axis=3),
        predicted=np.exp(log_spread) * np.sqrt(3),
        **costs,
    )


def subset_answers(
    network: FaceNetwork, store: FaceStore, image_size: int, rows: np.ndarray, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Shapes (7, R, 106, 3) from each subset of views, the others blacked out, and log spreads (7, R, 106)."""
    device = network.shape_mean.device
    loader = DataLoader(Views(store, image_size), batch_size, sampler=[(0, int(row)) for row in rows])
    points, spreads = [], []
    network.eval()
    with torch.inference_mode():
        for views, *_ in loader:
            views = views.to(device)
            kept = torch.tensor(SUBSETS, device=device)[:, None, :, None, None, None]  # (7, 1, 3, 1, 1, 1)
            answers = [network(views * part) for part in kept]
            points.append(torch.stack([answer.points3d.float().cpu() for answer in answers]))
            spreads.append(torch.stack([answer.log_spread.float().cpu() for answer in answers]))
    return torch.cat(points, dim=1).double().numpy(), torch.cat(spreads, dim=1).double().numpy()


def step_costs(network: FaceNetwork, store: FaceStore, config: TrainFold) -> dict[str, float]:
    """Parameters, multiply-adds of one sample, samples/s of training steps on ready batches, and the peak of memory."""
    device = network.shape_mean.device
    network = copy.deepcopy(network)  # it is trained a little further here
    rows = np.flatnonzero(store.known)[: config.batch_size]
    loader = DataLoader(Views(store, config.image_size), len(rows), sampler=[(0, int(row)) for row in rows])
    views, points3d, points2d, *_ = (tensor.to(device) for tensor in next(iter(loader)))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(views[:1])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5)
    network.train()
    # Alone on a core or not: processor time, where there is one thread.
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    seconds = []
    for _ in range(WARM_STEPS + TIMED_STEPS):
        started = clock()
        answer = network(views)
        loss = training_loss(answer, points3d, points2d, network.shape_scale, config.loss, config.points2d)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(clock() - started)
    on_gpu = device.type == "cuda"
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "multiply_adds": counter.get_total_flops() / 2,
        "samples_per_s": len(rows) / float(np.median(seconds[WARM_STEPS:])),
        "memory": torch.cuda.max_memory_allocated()
        if on_gpu
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
