"""The linear lift: canonical 3D landmarks from the three views' 2D landmarks, by ridge regression in closed form.

The cameras stand about still and the truth is pose-free, so the three views' normalised points determine the shape
almost linearly; a few hundred samples are enough to fit it, where a network would have to find it by descent.
"""

import numpy as np
import torch
from sklearn.linear_model import Ridge

from kpl.landmarks import mirror_points, mirror_points2d
from kpl.networks import normalised
from kpl.views import SIDES_EXCHANGED

# The points that the lift will see are a network's, not the true ones: it is fitted to noisy copies of these.
NOISE = 0.02  # of the crop's side
NOISY_COPIES = 4
PENALTY = 10.0


def fit(
    points2d: np.ndarray, points3d: np.ndarray, mean: np.ndarray, scale: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Weights (318, 636) and bias (318,) from normalised 2D points to standardised residuals; None without 2D points.

    points2d: (N, 3, 106, 2) crop units; points3d: (N, 106, 3) canonical; mean, scale: (106, 3). Samples whose 2D points
    are not all known are left out. Each sample is also used mirrored.
    """
    known = np.isfinite(points2d).all(axis=(1, 2, 3))
    if not known.any():
        return None
    points2d, points3d = points2d[known], points3d[known]
    points2d = np.concatenate([points2d, mirror_points2d(points2d[:, SIDES_EXCHANGED])])
    residual = (np.concatenate([points3d, mirror_points(points3d)]) - mean) / scale
    noise = np.random.default_rng(seed).normal(0, NOISE, (NOISY_COPIES, *points2d.shape))
    seen = normalised(torch.from_numpy(points2d + noise)).numpy().reshape(NOISY_COPIES * len(points2d), -1)
    ridge = Ridge(PENALTY).fit(seen, np.tile(residual.reshape(len(residual), -1), (NOISY_COPIES, 1)))
    return ridge.coef_, ridge.intercept_
