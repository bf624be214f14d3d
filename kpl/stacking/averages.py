"""Averages of several networks' predictions: plain, and with weights fitted to the score, for all of the face or by
region."""

import numpy as np
from scipy.optimize import minimize

from kpl.landmarks import EYE_CENTERS, GROUPS

GREEDY_STEPS = 40  # so that a weight is a multiple of a fortieth, or coarser
SMALLEST_GAIN = 1e-4  # of the error; less than this in a step is noise


def mean_average(points: np.ndarray) -> np.ndarray:
    """The plain mean of K networks: (K, N, 106, 3) -> (N, 106, 3)."""
    return points.mean(axis=0, dtype=np.float64)


def weighted_average(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean of K networks with `weights` (K,) that sum to one: (K, N, 106, 3) -> (N, 106, 3)."""
    return np.tensordot(weights, points, axes=1)


def regional_average(points: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """The mean of K networks with weights (K,) for each region of the face: (K, N, 106, 3) -> (N, 106, 3)."""
    average = np.empty(points.shape[1:])
    for region, landmarks in GROUPS.items():
        average[:, landmarks] = np.tensordot(weights[region], points[:, :, landmarks], axes=1)
    return average


def fit_weights(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Non-negative weights (K,) summing to one that minimise the mean landmark distance over the eye distance.

    points (K, N, 106, 3), truth (N, 106, 3). That is the official NME without its alignment: convex in the weights,
    so the answer does not depend on a start or a seed. Solved by sequential least squares (Kraft 1988) in scipy.
    """
    return _convex_weights(_errors(points, truth).reshape(len(points), -1, 3))


def fit_regional_weights(points: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """`fit_weights` for each region of the face on its own: {region: (K,)}."""
    errors = _errors(points, truth)
    return {
        region: _convex_weights(errors[:, :, landmarks].reshape(len(points), -1, 3))
        for region, landmarks in GROUPS.items()
    }


def greedy_weights(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Weights (K,) by greedy selection with replacement (Caruana et al. 2004): start with the best network, and add the
    one, again and again the same if need be, that lowers the mean landmark distance most; stop where none does.

    points (K, N, 106, 3), truth (N, 106, 3).
    """
    errors = _errors(points, truth).reshape(len(points), -1, 3).astype(np.float32)
    counts = np.zeros(len(points))
    total, lowest = np.zeros_like(errors[0]), np.inf
    for step in range(1, GREEDY_STEPS + 1):
        distances = [np.sqrt(((total + one) ** 2).sum(axis=1)).mean() / step for one in errors]
        best = int(np.argmin(distances))
        if distances[best] > (1 - SMALLEST_GAIN) * lowest:
            break
        counts[best] += 1
        total += errors[best]
        lowest = distances[best]
    return counts / counts.sum()


def _errors(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """In eye distances: (K, N, 106, 3)."""
    left, right = EYE_CENTERS
    return (points - truth) / np.linalg.norm(truth[:, left] - truth[:, right], axis=1)[:, None, None]


def _convex_weights(errors: np.ndarray) -> np.ndarray:
    """The weights (K,) of the lowest mean length of the weighted error vectors; errors (K, E, 3)."""
    networks = len(errors)

    def loss_and_slope(weights: np.ndarray) -> tuple[float, np.ndarray]:
        blend = np.tensordot(weights, errors, axes=1)
        distance = np.linalg.norm(blend, axis=1)
        direction = blend / np.maximum(distance, 1e-12)[:, None]
        return distance.mean(), np.tensordot(errors, direction, axes=2) / len(distance)

    equal = np.full(networks, 1 / networks)
    solution = minimize(
        loss_and_slope,
        equal,
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * networks,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-9, "maxiter": 200},
    )
    weights = np.clip(solution.x, 0, None)
    return weights / weights.sum()
