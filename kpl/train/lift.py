"""The linear lift: canonical 3D landmarks from the views' 2D landmarks, by ridge regression in closed form.

The cameras stand about still and the truth is pose-free, so the views' normalised points determine the shape almost
linearly; a few hundred samples are enough to fit it, where a network would have to find it by descent.
"""

import numpy as np
import torch
from sklearn.linear_model import Ridge

from kpl.cameras import normalised
from kpl.landmarks import COUNT, mirror_points, mirror_points2d
from kpl.networks import SUBSETS, FaceNetwork
from kpl.train.augment import SIDES_EXCHANGED

# The points that the lift will see are a network's, not the true ones: it is fitted to noisy copies of these.
NOISE, NOISY_COPIES = 0.02, 4  # of the crop's side
PENALTY = 10.0
SMALLEST_SPREAD = 1e-4  # canonical units, so that no residual is divided by zero


def fit_lift(network: FaceNetwork, points2d: np.ndarray, points3d: np.ndarray, seed: int) -> None:
    """Fit the network's lift, if it has one, to samples' true 2D landmarks (N, 3, 106, 2) and shapes (N, 106, 3)."""
    fitted = fit(points2d, points3d, *standardisation(points3d), seed) if network.lift is not None else None
    if fitted is not None:
        weight, bias = map(torch.from_numpy, fitted)
        network.lift.load_state_dict({"weight": weight, "bias": bias})


def standardisation(points3d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread (106, 3) of shapes (N, 106, 3): the units of a network's residuals."""
    return points3d.mean(axis=0), points3d.std(axis=0) + SMALLEST_SPREAD


def fit(
    points2d: np.ndarray, points3d: np.ndarray, mean: np.ndarray, scale: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """For each of SUBSETS weights (7, 318, 636), zero for absent views, and bias (7, 318), from normalised 2D points to
    standardised residuals; None without 2D points.

    points2d: (N, 3, 106, 2) crop units; points3d: (N, 106, 3) canonical; mean, scale: (106, 3). A subset is fitted to
    the samples whose 2D points are known in all of its views; without any it stays zero. Each is also used mirrored.
    """
    known = np.isfinite(points2d).all(axis=(2, 3))  # (N, 3)
    if not known.any():
        return None
    points2d, points3d, known = (part[known.any(axis=1)] for part in (points2d, points3d, known))
    points2d = np.concatenate([points2d, mirror_points2d(points2d[:, SIDES_EXCHANGED])])
    known = np.tile(np.concatenate([known, known[:, SIDES_EXCHANGED]]), (NOISY_COPIES, 1))
    residual = (np.concatenate([points3d, mirror_points(points3d)]) - mean) / scale
    residual = np.tile(residual.reshape(len(residual), -1), (NOISY_COPIES, 1))
    noise = np.random.default_rng(seed).normal(0, NOISE, (NOISY_COPIES, *points2d.shape))
    seen = normalised(torch.from_numpy(points2d + noise)).numpy().reshape(len(residual), -1)  # (4 2N, 636)
    weight = np.zeros((len(SUBSETS), residual.shape[1], seen.shape[1]))
    bias = np.zeros(weight.shape[:2])
    for i, views in enumerate(SUBSETS):
        rows, columns = known[:, views].all(axis=1), np.repeat(views, COUNT * 2)
        if rows.any():
            ridge = Ridge(PENALTY).fit(seen[np.ix_(rows, columns)], residual[rows])
            weight[i][:, columns], bias[i] = ridge.coef_, ridge.intercept_
    return weight, bias
