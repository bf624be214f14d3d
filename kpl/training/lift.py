"""The linear lift: canonical 3D landmarks from the views' 2D landmarks, by ridge regression in closed form.

The cameras stand about still and the truth is pose-free, so the views' normalised points determine the shape almost
linearly; a few hundred samples are enough to fit it, where a network would have to find it by descent.
"""

import numpy as np
import torch
from sklearn.linear_model import Ridge

from kpl.landmarks import COUNT, mirror_points, mirror_points2d
from kpl.networks import SUBSETS, normalised
from kpl.training.augment import SIDES_EXCHANGED

# The points that the lift will see are a network's, not the true ones: it is fitted to noisy copies of these.
NOISE = 0.02  # of the crop's side
NOISY_COPIES = 4
PENALTY = 10.0


def fit(
    points2d: np.ndarray, points3d: np.ndarray, mean: np.ndarray, scale: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """For each subset of views (kpl.networks.SUBSETS) weights (7, 318, 636), zero for absent views, and bias (7, 318),
    from normalised 2D points to standardised residuals; None without 2D points.

    points2d: (N, 3, 106, 2) crop units; points3d: (N, 106, 3) canonical; mean, scale: (106, 3). A subset is fitted to
    the samples whose 2D points are known in all of its views; without any it stays zero. Each sample is also used
    mirrored.
    """
    known = np.isfinite(points2d).all(axis=(2, 3))  # (N, 3)
    some = known.any(axis=1)
    if not some.any():
        return None
    points2d, points3d, known = points2d[some], points3d[some], known[some]
    points2d = np.concatenate([points2d, mirror_points2d(points2d[:, SIDES_EXCHANGED])])
    known = np.tile(np.concatenate([known, known[:, SIDES_EXCHANGED]]), (NOISY_COPIES, 1))
    residual = (np.concatenate([points3d, mirror_points(points3d)]) - mean) / scale
    residual = np.tile(residual.reshape(len(residual), -1), (NOISY_COPIES, 1))
    noise = np.random.default_rng(seed).normal(0, NOISE, (NOISY_COPIES, *points2d.shape))
    seen = normalised(torch.from_numpy(points2d + noise)).numpy().reshape(len(residual), -1)  # (4 2N, 636)
    weight, bias = (
        np.zeros((len(SUBSETS), residual.shape[1], seen.shape[1])),
        np.zeros((len(SUBSETS), residual.shape[1])),
    )
    for i, views in enumerate(SUBSETS):
        rows, columns = known[:, views].all(axis=1), np.repeat(views, COUNT * 2)
        if rows.any():
            ridge = Ridge(PENALTY).fit(seen[np.ix_(rows, columns)], residual[rows])
            weight[i][:, columns], bias[i] = ridge.coef_, ridge.intercept_
    return weight, bias
