"""Ways to train the same network on the same samples.

Each takes (config, store, rows, folder of JPEG files) and tells the samples/s of each epoch, the loss of the last one,
and the share of the time that it waited for data; NaN where there is none.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch
from torch import nn

from kpl import train
from kpl.bench.training.jpegs import jpeg_loader
from kpl.config import TrainFold
from kpl.faces import FaceStore
from kpl.landmarks import COUNT
from kpl.losses import training_loss
from kpl.networks import FaceNetwork, backbones
from kpl.training import build, engine
from kpl.training.learner import MAX_GRADIENT_NORM, Learner

Found = tuple[list[float], float, float]


def our_loop(config: TrainFold, store: FaceStore, rows: np.ndarray, _: Path) -> Found:
    learner = Learner(config, _network(config, store, rows), engine.start(config), {})
    train.learn(config, store, learner, rows, rows[:1])
    history = pd.DataFrame(learner.progress["history"])
    return history["samples_per_second"].tolist(), history["loss"].iloc[-1], history["wait"].iloc[1:].mean()


def bare_step(config: TrainFold, store: FaceStore, rows: np.ndarray, _: Path) -> Found:
    """The limit: the same network on one random batch that never changes and is already where it is needed."""
    network = _network(config, store, rows).to(memory_format=torch.channels_last)
    device, size = network.shape_mean.device, config.image_size
    views = torch.randint(1, 255, (config.batch_size, 3, size, size, 3), dtype=torch.uint8, device=device)
    points3d = network.shape_mean + network.shape_scale * torch.randn(config.batch_size, COUNT, 3, device=device)
    points2d = torch.rand(config.batch_size, 3, COUNT, 2, device=device)
    return _bare(config, network, len(rows), lambda: _loss(network, views, points3d, points2d, config))


def bare_timm(config: TrainFold, store: FaceStore, rows: np.ndarray, _: Path) -> Found:
    """The backbone alone, as timm makes it, with one linear layer, on the three pictures of a random batch."""
    model = timm.create_model(backbones.timm_name(config.backbone), num_classes=COUNT * 3)
    model = model.to(_device(), memory_format=torch.channels_last)
    pictures = torch.randn(3 * config.batch_size, 3, config.image_size, config.image_size, device=_device())
    pictures = pictures.to(memory_format=torch.channels_last)
    gt = torch.randn(3 * config.batch_size, COUNT * 3, device=_device())

    def loss() -> torch.Tensor:
        with _autocast():
            answer = model(pictures)
        return nn.functional.l1_loss(answer.float(), gt)

    return _bare(config, model, len(rows), loss)


def textbook(config: TrainFold, store: FaceStore, rows: np.ndarray, jpegs: Path) -> Found:
    torch.manual_seed(config.seed)
    network = _network(config, store, rows)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    scheduler = _cosine(optimizer, config, len(rows))
    loader = jpeg_loader(config, store, rows, jpegs)
    rates, device = [], network.shape_mean.device
    for _ in range(config.epochs):
        started, losses = time.perf_counter(), []
        network.train()
        for views, points3d, points2d in loader:
            loss = _loss(network, views.to(device), points3d.to(device), points2d.to(device), config)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
        rates.append(len(rows) / (time.perf_counter() - started))
    return rates, float(np.mean(losses)), np.nan


def lightning(config: TrainFold, store: FaceStore, rows: np.ndarray, jpegs: Path) -> Found:
    import lightning.pytorch as pl

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.losses, self.rates = _network(config, store, rows), [], []

        def training_step(self, batch: list, _: int) -> torch.Tensor:
            loss = _loss(self.network, *batch, config, autocast=False)
            self.losses.append(loss.detach())
            return loss

        def configure_optimizers(self) -> dict:
            optimizer = torch.optim.AdamW(self.parameters(), lr=config.lr, weight_decay=config.weight_decay)
            schedule = _cosine(optimizer, config, len(rows))
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

        def on_train_epoch_start(self) -> None:
            self.started, self.losses = time.perf_counter(), []

        def on_train_epoch_end(self) -> None:
            self.rates.append(len(rows) / (time.perf_counter() - self.started))

    torch.manual_seed(config.seed)
    module = Module()
    trainer = pl.Trainer(
        max_epochs=config.epochs,
        gradient_clip_val=MAX_GRADIENT_NORM,
        precision="bf16-mixed" if torch.cuda.is_available() else "32-true",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(module, jpeg_loader(config, store, rows, jpegs))
    return module.rates, float(torch.stack(module.losses).mean()), np.nan


def _bare(config: TrainFold, model: nn.Module, samples: int, loss_of: Callable[[], torch.Tensor]) -> Found:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=config.weight_decay, fused=True)
    model.train()
    rates, steps = [], -(-samples // config.batch_size)
    for _ in range(config.epochs):
        started = time.perf_counter()
        for _step in range(steps):
            loss = loss_of()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
            optimizer.step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        rates.append(steps * config.batch_size / (time.perf_counter() - started))
    return rates, np.nan, np.nan


def _loss(
    network: FaceNetwork,
    views: torch.Tensor,
    points3d: torch.Tensor,
    points2d: torch.Tensor,
    config: TrainFold,
    autocast: bool = True,
) -> torch.Tensor:
    with _autocast(autocast):
        answer = network(views)
    return training_loss(answer, points3d, points2d, network.shape_scale, config.loss, config.points2d)


def _autocast(wanted: bool = True) -> torch.autocast:
    return torch.autocast("cuda", torch.bfloat16, enabled=wanted and torch.cuda.is_available())


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _network(config: TrainFold, store: FaceStore, rows: np.ndarray) -> FaceNetwork:
    torch.manual_seed(config.seed)
    return build.untrained(config, store, rows).to(_device())


def _cosine(optimizer: torch.optim.Optimizer, config: TrainFold, samples: int) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs * -(-samples // config.batch_size))
