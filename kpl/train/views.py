"""Samples as the network sees them, in batches that torch's loader processes make ahead of the step. Every draw comes from
the seed of (run, epoch, sample), so a batch does not depend on who loads it, on what was loaded before, or on where a killed
run went on."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.train import augment

Key = tuple[int, int]  # epoch, row


class Views(Dataset):
    """Samples of a face store by (epoch, row) keys: views (3, S, S, 3) uint8, points3d (106, 3) canonical, points2d
    (3, 106, 2) crop units; NaN where unknown. changes: as augment.changes names them, or "none": then the epoch is ignored."""

    def __init__(self, store: FaceStore, image_size: int, changes: str = "none", seed: int = 0) -> None:
        self.store, self.image_size, self.seed = store, image_size, seed
        self.how = None if changes == "none" else augment.changes(changes)

    def __getitem__(self, key: Key) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        epoch, row = key
        crops, points3d, points2d = self.store.crops[row], self.store.points3d[row], self.store.points2d[row]
        if self.how is None:
            views = np.stack([augment.resized(crop, self.image_size) for crop in crops])
        else:
            rng = np.random.default_rng([self.seed, epoch, row])
            views, points2d = augment.augmented(crops, self.image_size, points2d, rng, self.how)
            if rng.random() < 0.5:
                views, points3d, points2d = augment.mirrored(views, points3d, points2d)
        return views, points3d.astype(np.float32), points2d.astype(np.float32)


class Batch(NamedTuple):
    """views (B, 3, S, S, 3) uint8, points3d (B, 106, 3) canonical, points2d (B, 3, 106, 2) crop units."""

    views: Tensor
    points3d: Tensor
    points2d: Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(part.to(device, non_blocking=True) for part in self))

    def split(self, size: int) -> list["Batch"]:
        """Parts of nearly equal size, at most `size` samples."""
        parts = -(-len(self.views) // size)
        return [Batch(*part) for part in zip(*(tensor.tensor_split(parts) for tensor in self))]


def epoch_batches(rows: np.ndarray, epoch: int, seed: int, batch_size: int) -> list[list[Key]]:
    """The keys of one epoch's batches, shuffled by (seed, epoch): every row once. Batches are of nearly equal size, at
    most `batch_size`, so that none is left with a lone sample, which batch normalisation cannot use."""
    shuffled = rows[np.random.default_rng([seed, epoch]).permutation(len(rows))]
    parts = np.array_split(shuffled, -(-len(rows) // batch_size))
    return [[(epoch, int(row)) for row in part] for part in parts]


def ahead(views: Views, batches: Iterable[list[Key]], workers: int = 0) -> Iterator[Batch]:
    """Batches of the given keys, in order, made ahead by `workers` processes, or when asked (0). Raises BadInput if a process
    is lost, by the system's hand for want of memory usually."""
    options = {"num_workers": workers, "pin_memory": torch.cuda.is_available(), "collate_fn": _collated}
    try:
        yield from DataLoader(views, batch_sampler=batches, **options)
    except (RuntimeError, EOFError, ConnectionError) as error:
        if not workers or str(error).startswith("Caught "):  # a sample's own error, with its trace
            raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        remedy = "start again, with fewer workers or more memory; the run goes on from its last checkpoint."
        raise BadInput(f"a loader process was lost ({reason}): {remedy}") from error


def _collated(samples: list[tuple[np.ndarray, ...]]) -> Batch:
    return Batch(*(torch.from_numpy(np.stack(part)) for part in zip(*samples)))
