"""One fold in training: all that a step changes, and what keeps hours of it safe.

The loop itself stands in 02_train_fold. A run's folder <runs>/<name>/fold<k> holds config.json from the start,
checkpoints while it trains, and in the end weights.safetensors, history.csv, predictions.npz and done.json, written last.
"""

import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save
from timm.optim import param_groups_weight_decay
from timm.utils import ModelEmaV3
from torch import Tensor
from tqdm import tqdm

from kpl import score
from kpl.config import TrainFold
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import atomic, no_room, read_json, read_npz, write_json, write_npz
from kpl.networks import FaceNetwork, Start, load_weights
from kpl.train import checkpoints, device, provenance
from kpl.train.inference import predict_rows
from kpl.train.views import Batch, Views, ahead, epoch_batches

log = logging.getLogger("kpl")
EXPLODED = 1000.0  # times the first loss, or times 1 where that was smaller
# What a run remembers beside its tensors. losses, seconds, waited (for data): of the present epoch's steps; pass_size:
# samples that go through the network at once; best: epoch, and weights on the CPU.
NOTHING = {"step": 0, "first_loss": 0.0, "losses": [], "seconds": 0.0, "waited": 0.0, "history": []}
NOTHING |= {"pass_size": 0, "best": None}


def rate(step: int, total: int, warmup: int, cycles: int) -> float:
    """The share of the full rate at a step (from 0) of `total`: linear warm-up over the first `warmup` steps, then
    cosine cycles of equal length with warm restarts (SGDR, Loshchilov and Hutter 2017), as torch's
    CosineAnnealingWarmRestarts. It depends on the step alone: it neither drifts nor needs a state to resume."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    length = -(-(total - warmup) // cycles)
    return (1 + math.cos(math.pi * ((step - warmup) % length) / length)) / 2


class Run:
    """A network in training, where a killed run left it; a finished one only shows what it found.

    network: fresh, on any device; it is the one that learns. train_rows: (T,) of the store. start: what the
    parameter `weights` came to. Raises BadInput for a precision or tracker that is not to be had. What a run has to remember
    beside its tensors is its `progress`, without a random state: what a step draws comes from (seed, step) alone, so
    that on a CPU a resumed run ends with the very bits of one that nobody stopped.
    """

    def __init__(self, p: TrainFold, store: FaceStore, network: FaceNetwork, train_rows: np.ndarray, start: Start) -> None:
        self.p, self.store, self.train_rows = p, store, train_rows
        self.where = f"{p.run_name} fold {p.fold}"
        self.steps = math.ceil(len(train_rows) / (p.batch_size * p.accumulate))  # of an epoch
        self.accelerator = device.start(p)
        self.precision = self.accelerator.mixed_precision.replace("no", "fp32")
        self.finished = (p.run_folder / "done.json").exists()
        state = {} if self.finished else checkpoints.newest(p.run_folder) or {}
        self.progress = NOTHING | {"losses": [], "history": [], "pass_size": p.batch_size} | state.get("progress", {})
        self.network = network = network.to(self.accelerator.device)
        if self.finished:
            load_weights(network, str(p.run_folder / "weights.safetensors"))
            self.learned = network
            return
        self._write_config(start, state)
        if "resnest" not in p.backbone or not next(network.parameters()).is_cuda:  # three times slower there
            network.to(memory_format=torch.channels_last)
        groups = param_groups_weight_decay(network, p.weight_decay)  # none on norms and biases
        optimizer = torch.optim.AdamW(groups, lr=p.lr, fused=True)
        self.average = ModelEmaV3(network, p.ema, use_warmup=True) if p.ema else None
        parts = {"network": network, "optimizer": optimizer, "average": self.average, "scaler": self.accelerator.scaler}
        self.parts = {name: part for name, part in parts.items() if part is not None}
        for name, part in self.parts.items():
            if name in state:  # a run that moves from a CPU to a GPU brings no scaler
                part.load_state_dict(state[name])
        _, self.optimizer = self.accelerator.prepare(network, optimizer)
        # What is asked on held-out samples and kept in the end: the moving average if there is one.
        self.learned = self.accelerator.prepare_model(self.average.module, evaluation_mode=True) if p.ema else network

    def _write_config(self, start: Start, state: dict[str, Any]) -> None:
        file = self.p.run_folder / "config.json"
        became = read_json(file)["became"] if state else start._replace(file=Path(start.file).name)._asdict()
        write_json(file, provenance.of_run(self.p, self.store) | {"became": became | {"precision": self.precision}})

    @property
    def history(self) -> pd.DataFrame:
        """One line an epoch."""
        file = self.p.run_folder / "history.csv"
        return pd.read_csv(file) if self.finished else pd.DataFrame(self.progress["history"])

    @property
    def step(self) -> int:
        """How many steps are done."""
        return self.progress["step"]

    def __enter__(self) -> Self:
        """Opens the tracker's logs; a disk that fills ends the run with BadInput, and its last checkpoints stay."""
        if not self.finished:
            name = f"{self.p.run_name}/fold{self.p.fold}"
            settings = {"wandb": {"name": name, "dir": str(self.p.run_folder)}, "mlflow": {"run_name": name}}
            settings["tensorboard"] = {"purge_step": len(self.progress["history"]) + 1}  # what came after the checkpoint
            self.accelerator.init_trackers("tensorboard" if self.p.tracker == "tensorboard" else "kpl", None, settings)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        for tracker in self.accelerator.trackers:
            tracker.finish()
        self.accelerator.trackers.clear()
        if isinstance(error, OSError | RuntimeError) and no_room(error):
            free = shutil.disk_usage(self.p.run_folder).free / 2**20
            remedy = "make room and start again; it goes on from its last checkpoint."
            reason = f"{self.p.run_folder} cannot be written to ({error}, {free:.0f} MiB are free)"
            raise BadInput(f"{reason}: {remedy}") from error

    def epochs(self) -> Iterator[int]:
        """The epochs (from 0) that are still to be trained: none of a finished run."""
        if self.finished:
            return
        history = self.progress["history"]
        if self.step:
            log.warning("%s: going on after step %d of %d.", self.where, self.step, self.steps * self.p.epochs)
        for epoch in range(len(history), self.p.epochs):
            errors = [row["nme"] for row in history]
            if errors and 0 < self.p.patience <= len(errors) - 1 - int(np.argmin(errors)):
                print(f"{self.where}: no better hold-out NME for {self.p.patience} epochs: it ends here.")
                return
            yield epoch

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, from where a killed run stood."""
        step_size, done = self.p.batch_size * self.p.accumulate, self.step - epoch * self.steps
        keys = epoch_batches(self.train_rows, epoch, self.p.seed, step_size)[done:]
        views = Views(self.store, self.p.image_size, self.p.augment, self.p.seed)
        made = ahead(views, keys, self.p.workers)
        for _ in tqdm(keys, f"{self.where}, epoch {epoch + 1}/{self.p.epochs}", leave=False, delay=5):
            started = time.perf_counter()
            batch = next(made)
            self.progress["waited"] += time.perf_counter() - started
            yield batch
            self.progress["seconds"] += time.perf_counter() - started
        made.close()
        self._refuse_ruin(self.progress["losses"])

    def gradients(self, batch: Batch, loss_of: Callable[[Batch], Tensor]) -> Tensor:
        """Gradients of the mean loss of `batch` in the network, by passes of nearly equal size that fit the memory."""
        passes = partial(self._passes, batch, loss_of)
        loss, self.progress["pass_size"] = device.fitting(passes, self.progress["pass_size"], self.where)
        return loss

    def _passes(self, batch: Batch, loss_of: Callable[[Batch], Tensor], size: int) -> Tensor:
        torch.manual_seed(int(np.random.SeedSequence((self.p.seed, self.step, 0)).generate_state(1)[0]))
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for part in batch.split(size):
            loss = loss_of(part.to(self.accelerator.device)) * (len(part.views) / len(batch.views))
            self.accelerator.backward(loss)
            total = total + loss.detach()
        return total

    def after_step(self, loss: Tensor) -> None:
        """The moving average, a look at the loss of the step before (a GPU need not wait for that), a checkpoint."""
        self.progress["step"] += 1
        if self.average:
            self.average.update(self.network, self.step)
        self.progress["losses"].append(loss)
        if self.step == 1:
            self.progress["first_loss"] = float(loss)
        self._refuse_ruin(self.progress["losses"][-2:-1])
        if self.p.save_every and self.step % self.p.save_every == 0 and self.step % self.steps:
            self._save()

    def after_epoch(self, errors: np.ndarray) -> None:
        """A row of the history for held-out errors (H,), the best epoch's weights if they are wanted, a checkpoint."""
        progress = self.progress
        row = {
            "epoch": len(progress["history"]) + 1,
            "loss": float(np.mean([float(loss) for loss in progress["losses"]])),
            "nme": float(errors.mean()),
            "auc": score.auc(errors),
            "lr": self.optimizer.param_groups[0]["lr"],
            "seconds": progress["seconds"],
            "samples_per_second": len(self.train_rows) / progress["seconds"],
            "wait": progress["waited"] / progress["seconds"],  # share of the steps' time
        }
        progress["history"].append(row)
        progress.update(losses=[], seconds=0.0, waited=0.0)
        if self.p.keep == "best" and row["nme"] == min(other["nme"] for other in progress["history"]):
            weights = {name: value.cpu().clone() for name, value in self.learned.state_dict().items()}
            progress["best"] = {"epoch": row["epoch"], "weights": weights}
        self.accelerator.log({name: value for name, value in row.items() if name != "epoch"}, step=row["epoch"])
        said = f"loss {row['loss']:.3f}, hold-out NME {row['nme']:.4f}, {row['seconds']:.0f} s"
        print(f"{self.where}: epoch {row['epoch']}/{self.p.epochs}, {said}", flush=True)
        self._save()

    def finish(self, held_out: np.ndarray) -> np.ndarray:
        """Write what the run found, done.json last, unless that is done: weights, history, and by sample name what the
        network says of the held-out samples (N,) bool and of those without truth. Returns the held-out samples' shapes
        (H, 106, 3), in the store's order; the network has the weights that were kept."""
        if not self.finished:
            with self:
                self._write_results(held_out)
            self.finished = True
        shutil.rmtree(self.p.run_folder / "checkpoints", ignore_errors=True)
        found = read_npz(self.p.run_folder / "predictions.npz", ("samples", "points"))
        points = dict(zip(found["samples"].tolist(), found["points"].astype(np.float64)))
        return np.stack([points[name] for name in self.store.table["sample"][held_out]])

    def _write_results(self, held_out: np.ndarray) -> None:
        """Of the weights that are kept: the best epoch's if they are wanted, else the last learned ones."""
        names, folder, best = self.store.table["sample"].to_numpy(dtype=str), self.p.run_folder, self.progress["best"]
        bare = partial(self.accelerator.unwrap_model, keep_fp32_wrapper=False)
        self.network, learned = bare(self.network), bare(self.learned)
        self.network.load_state_dict(best["weights"] if best else learned.state_dict())
        rows = np.concatenate([np.flatnonzero(held_out), np.flatnonzero(~self.store.has_truth)])
        points = predict_rows(self.network, self.store, self.p.image_size, rows, self.p.batch_size, twice=True)
        split = np.where(held_out[rows], "oof", "test")
        write_npz(folder / "predictions.npz", samples=names[rows], split=split, points=points.astype(np.float32))
        weights = {name: value.cpu().contiguous() for name, value in self.network.state_dict().items()}
        with atomic(folder / "weights.safetensors") as temporary:
            temporary.write_bytes(save(weights))
        history = self.history
        with atomic(folder / "history.csv") as temporary:
            history.to_csv(temporary, index=False)
        kept = best["epoch"] if best else len(history)
        write_json(folder / "done.json", {"epochs": len(history), "kept": kept, "nme": history["nme"].iloc[kept - 1]})

    def _save(self) -> None:
        """A checkpoint, unless the run is not worth one."""
        self._refuse_ruin(self.progress["losses"], whole=True)
        marker = self.store.folder / "done.json"
        if not marker.exists() or read_json(marker).get("fingerprint") != self.store.fingerprint:
            remedy = "bring the old faces back, or train under another name."
            raise BadInput(f"{self.store.folder} was changed while a network was trained on it: {remedy}")
        progress = self.progress | {"losses": [float(loss) for loss in self.progress["losses"]]}
        tensors = {name: part.state_dict() for name, part in self.parts.items()}
        checkpoints.save(self.p.run_folder, self.progress["step"], tensors | {"progress": progress})

    def _refuse_ruin(self, losses: list[Tensor | float], whole: bool = False) -> None:
        """Raise BadInput for losses that are no numbers or far above the first, and for such weights (`whole`)."""
        most = EXPLODED * max(1.0, abs(self.progress["first_loss"]))
        wrong = [f"the loss is {loss:.3g}" for loss in map(float, losses) if not abs(loss) <= most]
        if whole and not all(torch.isfinite(weight).all() for weight in self.network.state_dict().values()):
            wrong.append("weights are no numbers any more")
        if wrong:
            remedy = f"take a lower lr than {self.p.lr:g} and another name, or delete {self.p.run_folder}."
            raise BadInput(f"{self.where}: {wrong[0]}: {remedy}")
