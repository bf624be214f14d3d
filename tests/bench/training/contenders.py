"""Ways to train the same network on the same samples.

Each takes what 02_train_fold left when it trained a fold (its globals) and the folder of JPEG files, and tells the
samples/s of each epoch, the loss of the last one, and the share of the time that it waited for data; NaN where there is
none. Network and loss are the notebook's own.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import nn

from bench.training.jpegs import jpeg_loader
from kpl import config
from kpl.config import TrainFold
from kpl.landmarks import COUNT
from kpl.networks import FaceNetwork, backbones
from kpl.train.views import Batch

Done = dict[str, Any]
Found = tuple[list[float], float, float]
(NETWORK,) = (cell for cell in config.cells("02_train_fold", "") if "FaceNetwork(" in cell)
CLIP = 5.0


def our_loop(done: Done, _: Path) -> Found:
    history = done["run"].history
    return history["samples_per_second"].tolist(), history["loss"].iloc[-1], history["wait"].iloc[1:].mean()


def bare_step(done: Done, _: Path) -> Found:
    """The limit: the same network on one random batch that never changes and is already where it is needed."""
    p, network = done["p"], fresh(done).to(memory_format=torch.channels_last)
    device, size = network.shape_mean.device, p.image_size
    views = torch.randint(1, 255, (p.batch_size, 3, size, size, 3), dtype=torch.uint8, device=device)
    points3d = network.shape_mean + network.shape_scale * torch.randn(p.batch_size, COUNT, 3, device=device)
    batch = Batch(views, points3d, torch.rand(p.batch_size, 3, COUNT, 2, device=device))
    return bare(p, network, len(done["train_rows"]), lambda: loss_of(done, batch))


def bare_timm(done: Done, _: Path) -> Found:
    """The backbone alone, as timm makes it, with one linear layer, on the three pictures of a random batch."""
    p = done["p"]
    model = timm.create_model(backbones.timm_name(p.backbone), num_classes=COUNT * 3)
    model = model.to(device(), memory_format=torch.channels_last)
    pictures = torch.randn(3 * p.batch_size, 3, p.image_size, p.image_size, device=device())
    pictures = pictures.to(memory_format=torch.channels_last)
    gt = torch.randn(3 * p.batch_size, COUNT * 3, device=device())

    def loss() -> torch.Tensor:
        with autocast():
            answer = model(pictures)
        return nn.functional.l1_loss(answer.float(), gt)

    return bare(p, model, len(done["train_rows"]), loss)


def textbook(done: Done, jpegs: Path) -> Found:
    p, rows, network = done["p"], done["train_rows"], fresh(done)
    optimizer = torch.optim.AdamW(network.parameters(), lr=p.lr, weight_decay=p.weight_decay)
    scheduler = cosine(optimizer, p, len(rows))
    loader, rates = jpeg_loader(p, done["store"], rows, jpegs), []
    for _ in range(p.epochs):
        started, losses = time.perf_counter(), []
        network.train()
        for batch in loader:
            loss = loss_of(done, Batch(*batch).to(device()))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
        rates.append(len(rows) / (time.perf_counter() - started))
    return rates, float(np.mean(losses)), np.nan


def lightning(done: Done, jpegs: Path) -> Found:
    import lightning.pytorch as pl

    p, rows = done["p"], done["train_rows"]

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.losses, self.rates = fresh(done), [], []

        def training_step(self, batch: list, _: int) -> torch.Tensor:
            loss = done["loss_of"](Batch(*batch))
            self.losses.append(loss.detach())
            return loss

        def configure_optimizers(self) -> dict:
            optimizer = torch.optim.AdamW(self.parameters(), lr=p.lr, weight_decay=p.weight_decay)
            return {
                "optimizer": optimizer,
                "lr_scheduler": {"scheduler": cosine(optimizer, p, len(rows)), "interval": "step"},
            }

        def on_train_epoch_start(self) -> None:
            self.started, self.losses = time.perf_counter(), []

        def on_train_epoch_end(self) -> None:
            self.rates.append(len(rows) / (time.perf_counter() - self.started))

    module = Module()
    precision = "bf16-mixed" if torch.cuda.is_available() else "32-true"
    silent = ("logger", "enable_checkpointing", "enable_model_summary", "enable_progress_bar")
    trainer = pl.Trainer(
        max_epochs=p.epochs, gradient_clip_val=CLIP, precision=precision, devices=1, **dict.fromkeys(silent, False)
    )
    trainer.fit(module, jpeg_loader(p, done["store"], rows, jpegs))
    return module.rates, float(torch.stack(module.losses).mean()), np.nan


def bare(p: TrainFold, model: nn.Module, samples: int, loss: Callable[[], torch.Tensor]) -> Found:
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-4, weight_decay=p.weight_decay, fused=True)
    rates, steps = [], -(-samples // p.batch_size)
    for _ in range(p.epochs):
        started = time.perf_counter()
        for _step in range(steps):
            found = loss()
            optimizer.zero_grad(set_to_none=True)
            found.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        rates.append(steps * p.batch_size / (time.perf_counter() - started))
    return rates, np.nan, np.nan


def fresh(done: Done) -> FaceNetwork:
    """The notebook's network as it was before training; its `loss_of` is that of this one from here on."""
    exec(NETWORK, done)  # noqa: S102  our own notebook
    done["network"].to(device())
    return done["network"]


def loss_of(done: Done, batch: Batch) -> torch.Tensor:
    with autocast():
        return done["loss_of"](batch)


def autocast() -> torch.autocast:
    return torch.autocast("cuda", torch.bfloat16, enabled=torch.cuda.is_available())


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def cosine(optimizer: torch.optim.Optimizer, p: TrainFold, samples: int) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, p.epochs * -(-samples // p.batch_size))
