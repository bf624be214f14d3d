"""Training side by side: our loop, the bare step, a textbook PyTorch loop over JPEG files, PyTorch Lightning.

All train the same network on the same samples with the same augmentation, batch size, optimizer and clipping; they take turns,
and every turn has its own seed, so that noise of the machine and of the seed can be told from differences. samples/s are
of training alone: no evaluation, no checkpoint, not the first epoch of a turn.
"""

import argparse
import importlib.util
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import timm
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from kpl import augment, backbones, build, engine, faces, train
from kpl.bench import report
from kpl.config import ROOT, TrainFold, path
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.landmarks import COUNT
from kpl.learner import MAX_GRADIENT_NORM, Learner
from kpl.losses import training_loss
from kpl.networks import FaceNetwork

FOLDER = ROOT / "output" / "bench" / "training"


def main(arguments: list[str]) -> None:
    options = _parse(arguments)
    if "lightning" in options.contenders and importlib.util.find_spec("lightning") is None:
        raise BadInput("PyTorch Lightning is not installed: pip install -r requirements-bench.txt")
    store = faces.load(path(options.faces))
    rows = np.flatnonzero(store.known)[: options.samples]
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_jpegs(store, rows, FOLDER / "jpegs")
    found = []
    for turn in range(options.turns):
        config = _config(options, turn)
        for name in options.contenders:
            started = time.process_time()
            rates, loss, wait = CONTENDERS[name](config, store, rows, FOLDER / "jpegs")
            cpu = (time.process_time() - started) / (len(rows) * options.epochs)
            found.append(
                {"contender": name, "turn": turn, "rate": np.median(rates[1:]), "cpu": cpu, "loss": loss, "wait": wait}
            )
            print(
                f"turn {turn + 1}/{options.turns}: {name}: {found[-1]['rate']:.1f} samples/s, loss {loss:.3f}",
                flush=True,
            )
    print(
        f"\n{options.backbone}, {options.image_size} px, {options.fusion}, batches of {options.batch_size}, "
        f"{len(rows)} samples, {options.epochs} epochs, {torch.get_num_threads()} threads"
    )
    report.publish(table(pd.DataFrame(found)), FOLDER.with_suffix(".csv"))


def table(found: pd.DataFrame) -> pd.DataFrame:
    """One row a contender: samples/s, the ratios to bare step and our loop (medians over turns of what stood side by side),
    the CPU time of this process that a sample took with all that surrounds a run (what a loaded machine does not change),
    the last epoch's loss with its standard deviation over turns, and the share of the time that our steps waited."""
    rates = found.pivot(index="turn", columns="contender", values="rate")
    rows = []
    for name, mine in found.groupby("contender", sort=False):
        rows.append({"contender": name, "samples/s": mine["rate"].median()})
        for other in ("bare step", "our loop"):
            if other in rates:
                rows[-1][f"of {other}"] = (rates[name] / rates[other]).median()
        rows[-1]["CPU ms a sample"] = 1000 * mine["cpu"].median()
        rows[-1] |= {"final loss": mine["loss"].mean(), "sd": mine["loss"].std(), "wait %": 100 * mine["wait"].mean()}
    return pd.DataFrame(rows).round(3)


# Each contender: (config, store, rows, folder of JPEG files) -> samples/s of each epoch, loss of the last one, share of waiting.
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


CONTENDERS = {
    "bare timm": bare_timm,
    "bare step": bare_step,
    "our loop": our_loop,
    "textbook": textbook,
    "lightning": lightning,
}


class Jpegs(Dataset):
    """Samples from JPEG files, with the augmentation that our loop has, drawn from NumPy's own state."""

    def __init__(self, config: TrainFold, store: FaceStore, rows: np.ndarray, folder: Path) -> None:
        self.config, self.store, self.rows, self.folder = config, store, rows, folder
        self.spoil = augment.spoiling()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        row = self.rows[index]
        crops = np.stack([cv2.imread(str(self.folder / f"{row}_{view}.jpg"))[:, :, ::-1] for view in range(3)])
        points3d, rng = self.store.points3d[row], np.random.default_rng()
        views, points2d = augment.augmented(crops, self.config.image_size, self.store.points2d[row], rng, self.spoil)
        if rng.random() < 0.5:
            views, points3d, points2d = augment.mirrored(views, points3d, points2d)
        return views, points3d.astype(np.float32), points2d.astype(np.float32)


def jpeg_loader(config: TrainFold, store: FaceStore, rows: np.ndarray, folder: Path) -> DataLoader:
    return DataLoader(
        Jpegs(config, store, rows, folder),
        config.batch_size,
        shuffle=True,
        num_workers=config.workers,
        persistent_workers=config.workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def write_jpegs(store: FaceStore, rows: np.ndarray, folder: Path) -> None:
    folder.mkdir(parents=True)
    for row in rows:
        for view, crop in enumerate(store.crops[row]):
            cv2.imwrite(str(folder / f"{row}_{view}.jpg"), np.asarray(crop)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])


def _bare(config: TrainFold, model: nn.Module, samples: int, loss_of: object) -> Found:
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


def _config(options: argparse.Namespace, seed: int) -> TrainFold:
    late = options.fusion == "late"
    return TrainFold(
        faces=options.faces, runs=str(FOLDER / f"turn{seed}"), name="ours", backbone=options.backbone,
        image_size=options.image_size, fold=0, folds=2, epochs=options.epochs, batch_size=options.batch_size, lr=options.lr,
        weight_decay=0.01, cycles=1, seed=seed, fusion=options.fusion, share="mirrored" if late else "all",
        head="fc" if late else "linear", dropout=0.1, loss="l1", points2d=0.3 if late else 0.0, augment=True,
        weights="none", workers=options.workers, accumulate=1, precision="auto", warmup=0.0, ema=0.0, keep="last",
        patience=0, save_every=0, processes=1, tracker="tensorboard",
    )  # fmt: skip


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run_all.sh bench training", description=__doc__.splitlines()[0])
    parser.add_argument("--faces", default="output/faces/centerface_256", help="a store of faces with truth")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME")
    parser.add_argument("--backbone", default="hgnetv2_b0")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument(
        "--fusion", default="late", help="late: the default network; average: a backbone and little else"
    )
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--samples", type=int, default=280)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument(
        "--workers", type=int, default=0, help="loader processes of ours and of the two with a DataLoader"
    )
    return parser.parse_args(arguments)
