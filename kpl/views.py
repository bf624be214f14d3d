"""Three crops of a sample, resized, augmented and mirrored for training.

albumentations (MIT) does the picture work and stays behind this module. Every draw comes from the seed of (run, epoch,
sample), so a batch does not depend on who loads it, on what was loaded before, or on where a killed run went on.
"""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no version check over the network

import albumentations as A
import cv2
import numpy as np
from torch.utils.data import Dataset, Sampler

from kpl.faces import FaceStore
from kpl.landmarks import COUNT, mirror_points, mirror_points2d

cv2.setNumThreads(0)  # OpenCV's threads fight with the loader's processes
SIDES_EXCHANGED = [2, 1, 0]


class Views(Dataset):
    """Samples of a face store by (epoch, row) keys: views (3, S, S, 3) uint8, points3d (106, 3), points2d (3, 106, 2).

    points3d is in the canonical frame, points2d in crop units; NaN where unknown. Without `augment` the epoch is ignored.
    """

    def __init__(self, store: FaceStore, image_size: int, augment: bool = False, seed: int = 0) -> None:
        self.store, self.image_size, self.seed = store, image_size, seed
        self.pipeline = augmentation(image_size) if augment else None

    def __len__(self) -> int:
        return len(self.store.table)

    def __getitem__(self, key: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        epoch, row = key
        views = np.stack([resized(view, self.image_size) for view in self.store.crops[row]])
        points3d, points2d = self.store.points3d[row], self.store.points2d[row]
        if self.pipeline is not None:
            rng = np.random.default_rng([self.seed, epoch, row])
            views, points2d = augmented(self.pipeline, views, points2d, rng)
            if rng.random() < 0.5:
                views, points3d, points2d = mirrored(views, points3d, points2d)
        return views, points3d.astype(np.float32), points2d.astype(np.float32)


class EpochSampler(Sampler):
    """The keys (epoch, row) of one epoch, shuffled by (seed, epoch)."""

    def __init__(self, rows: np.ndarray, epoch: int, seed: int) -> None:
        order = np.random.default_rng([seed, epoch]).permutation(len(rows))
        self.keys = [(epoch, int(row)) for row in rows[order]]

    def __iter__(self):
        return iter(self.keys)

    def __len__(self) -> int:
        return len(self.keys)


def augmentation(image_size: int) -> A.Compose:
    """Small turns, shifts and scalings, light, colour, blur and noise, hidden patches; landmarks move along."""
    return A.Compose(
        [
            A.Affine(rotate=(-10, 10), scale=(0.9, 1.1), translate_percent=(-0.04, 0.04), p=0.9),
            A.RandomBrightnessContrast(0.25, 0.25, p=0.7),
            A.HueSaturationValue(10, 25, 10, p=0.4),
            A.OneOf([A.GaussianBlur(blur_limit=(3, 3)), A.GaussNoise(std_range=(0.01, 0.05))], p=0.3),
            A.CoarseDropout(num_holes_range=(1, 2), hole_height_range=(0.05, 0.2), hole_width_range=(0.05, 0.2), p=0.2),
        ],
        keypoint_params=A.KeypointParams("xy", remove_invisible=False),
        seed=0,
    )


def augmented(
    pipeline: A.Compose, views: np.ndarray, points2d: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Each view (S, S, 3) changed on its own, its points (crop units) with it. The canonical shape stays what it is."""
    side = views.shape[1]
    new_views, new_points = np.empty_like(views), np.empty_like(points2d)
    for view in range(len(views)):
        pipeline.set_random_seed(int(rng.integers(2**31)))
        known = np.isfinite(points2d[view]).all()
        points = points2d[view] * side if known else np.zeros((COUNT, 2))
        result = pipeline(image=views[view], keypoints=points)
        new_views[view] = result["image"]
        new_points[view] = result["keypoints"] / side if known else np.nan
    return new_views, new_points


def mirrored(
    views: np.ndarray, points3d: np.ndarray, points2d: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mirrored capture: pictures flipped, views 0 and 2 exchanged, landmarks mirrored and renamed. Its own inverse."""
    flipped = np.ascontiguousarray(views[SIDES_EXCHANGED, :, ::-1])
    return flipped, mirror_points(points3d), mirror_points2d(points2d[SIDES_EXCHANGED])


def resized(view: np.ndarray, side: int) -> np.ndarray:
    """A crop (S, S, 3) at `side` pixels."""
    if view.shape[0] == side:
        return np.asarray(view)
    shrinking = side < view.shape[0]
    return cv2.resize(np.asarray(view), (side, side), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)
