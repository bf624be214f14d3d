"""All that a step changes: weights, moving average, optimizer, scaler, progress. A checkpoint is its state."""

from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from timm.optim import param_groups_weight_decay
from timm.utils import ModelEmaV3
from torch import Tensor

from kpl.config import TrainFold
from kpl.losses import training_loss
from kpl.networks import FaceNetwork
from kpl.training import engine, guards
from kpl.training.loader import Batch

MAX_GRADIENT_NORM = 5.0


class Learner:
    """A network in training.

    state: {} to begin, or a checkpoint's. `progress` is what a run has to remember beside its tensors. There is no
    random state in it: what a step draws comes from (seed, step, process) alone.
    """

    def __init__(
        self, config: TrainFold, network: FaceNetwork, accelerator: Accelerator, state: dict[str, Any]
    ) -> None:
        self.config, self.accelerator = config, accelerator
        self.where = f"{config.run_name} fold {config.fold}"
        several = accelerator.num_processes
        self.progress = state.get("progress") or {
            "step": 0,
            "first_loss": 0.0,
            "losses": [],  # of the present epoch's steps
            "seconds": 0.0,  # of the present epoch's steps, and what they waited for data
            "waited": 0.0,
            "history": [],  # one row a finished epoch
            "batch_size": -(-config.batch_size // several),  # what this process sends through the network at once
            "channels_last": None,
            "best": None,  # epoch, and weights on the CPU
        }
        if self.progress["channels_last"] is None:
            self.progress["channels_last"] = engine.channels_last_is_faster(
                network, config.image_size, self.progress["batch_size"]
            )
        if self.progress["channels_last"]:
            network = network.to(memory_format=torch.channels_last)
        groups = param_groups_weight_decay(network, config.weight_decay)  # none on norms and biases
        optimizer = torch.optim.AdamW(groups, lr=config.lr, fused=True)
        average = ModelEmaV3(network, config.ema, use_warmup=True) if config.ema else None
        parts = {"network": network, "optimizer": optimizer, "average": average, "scaler": accelerator.scaler}
        self.parts = {name: part for name, part in parts.items() if part is not None}
        if state:
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
        self.network, self.average = network, average
        self.model, self.optimizer = accelerator.prepare(network, optimizer)
        # What is asked on held-out samples and kept in the end: the moving average if there is one.
        self.learned = accelerator.prepare_model(average.module, evaluation_mode=True) if average else network

    def state_dict(self) -> dict[str, Any]:
        """A checkpoint: tensors, numbers and text only."""
        progress = self.progress | {"losses": [float(loss) for loss in self.progress["losses"]]}
        return {name: part.state_dict() for name, part in self.parts.items()} | {"progress": progress}

    def step(self, batch: Batch, lr: float, weight: float = 1.0) -> None:
        """One step of the optimizer on all samples of `batch`, in as many passes as the memory asks for.

        weight: how much this process's batch counts against the other processes' (1 if all are of one size).
        """
        progress = self.progress
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        loss, progress["batch_size"] = guards.halving(
            lambda size: self._gradients(batch, size, weight),
            progress["batch_size"],
            self.where,
            alone=self.accelerator.num_processes == 1,
        )
        self.accelerator.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT_NORM)
        self.optimizer.step()
        progress["step"] += 1
        if self.average:
            self.average.update(self.network, progress["step"])
        self._watch(loss)

    def _gradients(self, batch: Batch, size: int, weight: float) -> Tensor:
        """Gradients of the mean loss of `batch`, sent through the network in passes of nearly equal size, at most
        `size`."""
        config, device = self.config, self.accelerator.device
        torch.manual_seed(seed_of(config.seed, self.progress["step"], self.accelerator.process_index))
        self.optimizer.zero_grad(set_to_none=True)
        samples, total = len(batch[0]), 0.0
        passes = list(zip(*(tensor.tensor_split(-(-samples // size)) for tensor in batch)))
        for index, part in enumerate(passes):
            pixels, points3d, points2d = (tensor.to(device, non_blocking=True) for tensor in part)
            with self.accelerator.no_sync(self.model) if index + 1 < len(passes) else torch.enable_grad():
                answer = self.model(pixels)
                loss = training_loss(answer, points3d, points2d, self.network.shape_scale, config.loss, config.points2d)
                loss = loss * (weight * len(pixels) / samples)
                self.accelerator.backward(loss)
            total = total + loss.detach()
        return total

    def _watch(self, loss: Tensor) -> None:
        """Keep a step's loss, and look at the one before: a GPU need not wait for that."""
        losses = self.progress["losses"]
        losses.append(loss)
        if self.progress["step"] == 1:
            self.progress["first_loss"] = float(loss)
        self.refuse_divergence(losses[-2:-1])

    def refuse_divergence(self, losses: list[Tensor | float]) -> None:
        """Raise BadInput if one of the losses is no number or far above the first."""
        for loss in losses:
            guards.refuse_divergence(
                float(loss), self.progress["first_loss"], self.config.lr, self.where, self.config.run_folder
            )

    def end_epoch(self, row: dict[str, float]) -> None:
        """Begin a new epoch; `row` is the old one's in the history. The best network so far is remembered if it is to
        be kept."""
        progress = self.progress
        progress["history"].append(row)
        progress.update(losses=[], seconds=0.0, waited=0.0)
        if self.config.keep == "best" and row["nme"] == min(other["nme"] for other in progress["history"]):
            weights = {name: value.cpu().clone() for name, value in self.learned.state_dict().items()}
            progress["best"] = {"epoch": row["epoch"], "weights": weights}

    def kept(self) -> tuple[FaceNetwork, int]:
        """The network that the run ends with, and the epoch that it is of."""
        network = self.accelerator.unwrap_model(self.learned, keep_fp32_wrapper=False)
        if self.progress["best"] is None:
            return network, len(self.progress["history"])
        network.load_state_dict(self.progress["best"]["weights"])
        return network, self.progress["best"]["epoch"]


def seed_of(*numbers: int) -> int:
    """One seed from several."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
