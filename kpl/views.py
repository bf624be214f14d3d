"""Samples as the network sees them. Every draw comes from the seed of (run, epoch, sample), so a batch does not depend
on who loads it, on what was loaded before, or on where a killed run went on."""

import numpy as np
from torch.utils.data import Dataset

from kpl.faces import FaceStore
from kpl.training import augment as augmentation

Key = tuple[int, int]  # epoch, row


class Views(Dataset):
    """Samples of a face store by (epoch, row) keys: views (3, S, S, 3) uint8, points3d (106, 3), points2d (3, 106, 2).

    points3d is in the canonical frame, points2d in crop units; NaN where unknown. Without `augment` the epoch is
    ignored.
    """

    def __init__(self, store: FaceStore, image_size: int, augment: bool = False, seed: int = 0) -> None:
        self.store, self.image_size, self.seed = store, image_size, seed
        self.spoil = augmentation.spoiling() if augment else None

    def __len__(self) -> int:
        return len(self.store.table)

    def __getitem__(self, key: Key) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        epoch, row = key
        crops, points3d, points2d = self.store.crops[row], self.store.points3d[row], self.store.points2d[row]
        if self.spoil is None:
            views = np.stack([augmentation.resized(crop, self.image_size) for crop in crops])
        else:
            rng = np.random.default_rng([self.seed, epoch, row])
            views, points2d = augmentation.augmented(crops, self.image_size, points2d, rng, self.spoil)
            if rng.random() < 0.5:
                views, points3d, points2d = augmentation.mirrored(views, points3d, points2d)
        return views, points3d.astype(np.float32), points2d.astype(np.float32)


def epoch_batches(rows: np.ndarray, epoch: int, seed: int, batch_size: int) -> list[list[Key]]:
    """The keys of one epoch's batches, shuffled by (seed, epoch): every row once.

    Batches are of nearly equal size, at most `batch_size`, so that none is left with a lone sample, which
    batch normalisation cannot use.
    """
    shuffled = rows[np.random.default_rng([seed, epoch]).permutation(len(rows))]
    return [
        [(epoch, int(row)) for row in part] for part in np.array_split(shuffled, batch_count(len(rows), batch_size))
    ]


def batch_count(samples: int, batch_size: int) -> int:
    """How many batches an epoch has."""
    return -(-samples // batch_size)


def share(keys: list[Key], process: int, processes: int) -> tuple[list[Key], float]:
    """What one of several processes takes of a batch, and how much its mean loss counts in the mean over the processes.

    A process for which nothing is left repeats a sample that does not count.
    """
    own = keys[process::processes]
    return own or keys[:1], len(own) * processes / len(keys)
