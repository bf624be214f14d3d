"""Samples as a textbook has them: JPEG files behind a DataLoader."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from kpl.config import TrainFold
from kpl.faces import FaceStore
from kpl.train import augment


class Jpegs(Dataset):
    """Samples from JPEG files, with the augmentation that our loop has, drawn from NumPy's own state."""

    def __init__(self, p: TrainFold, store: FaceStore, rows: np.ndarray, folder: Path) -> None:
        self.p, self.store, self.rows, self.folder = p, store, rows, folder
        self.how = augment.changes(p.augment)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        row = self.rows[index]
        crops = np.stack([cv2.imread(str(self.folder / f"{row}_{view}.jpg"))[:, :, ::-1] for view in range(3)])
        points3d, rng = self.store.points3d[row], np.random.default_rng()
        points2d = self.store.points2d[row]
        views, points2d = augment.augmented(crops, self.p.image_size, points2d, rng, self.how)
        if rng.random() < 0.5:
            views, points3d, points2d = augment.mirrored(views, points3d, points2d)
        return views, points3d.astype(np.float32), points2d.astype(np.float32)


def jpeg_loader(p: TrainFold, store: FaceStore, rows: np.ndarray, folder: Path) -> DataLoader:
    workers = {"num_workers": p.workers, "persistent_workers": p.workers > 0, "pin_memory": torch.cuda.is_available()}
    return DataLoader(Jpegs(p, store, rows, folder), p.batch_size, shuffle=True, **workers)


def write_jpegs(store: FaceStore, rows: np.ndarray, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        for view, crop in enumerate(store.crops[row]):
            cv2.imwrite(str(folder / f"{row}_{view}.jpg"), np.asarray(crop)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
