"""Weights of several networks, fitted to the score: one a network, or one a network and landmark.

Each function takes predictions (K, N, 106, 3) and truth (N, 106, 3) and gives weights that sum to one over the networks:
(K,), or (K, 106).
"""

import numpy as np
from scipy.optimize import minimize

from kpl.landmarks import COUNT, EYE_CENTERS, GROUPS

GREEDY_STEPS = 40  # so that a weight is a multiple of a fortieth, or coarser
SMALLEST_GAIN = 1e-4  # of the error; less than this in a step is noise


def weighted_average(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean of K networks with `weights` (K,) or (K, 106): (K, N, 106, 3) -> (N, 106, 3)."""
    return sum(np.float64(weight)[..., None] * one for weight, one in zip(weights, points))


def equal_weights(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The plain mean: (K,)."""
    return np.full(len(points), 1 / len(points))


def single_weights(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """All for the network with the lowest mean landmark distance: (K,)."""
    lowest = np.argmin([_lengths(errors).mean() for errors in _errors(points, truth)])
    return np.eye(len(points))[lowest]


def fit_weights(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Non-negative weights (K,) that minimise the mean landmark distance over the eye distance.

    That is the official NME without its alignment: convex in the weights, so the answer does not depend on a start or a
    seed. Solved by sequential least squares (Kraft 1988) in scipy.
    """
    return _convex_weights(_errors(points, truth))


def fit_regional_weights(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """`fit_weights` for each region of the face on its own: (K, 106)."""
    weights = np.empty((len(points), COUNT))
    for region in GROUPS.values():
        weights[:, region] = _convex_weights(_errors(points, truth, region))[:, None]
    return weights


def greedy_weights(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Weights (K,) by greedy selection with replacement (Caruana et al. 2004): start with the best network, and add the
    one, again and again the same if need be, that lowers the mean landmark distance most; stop where none does.
    """
    errors = _errors(points, truth)
    counts = np.zeros(len(points))
    total, lowest = np.zeros_like(errors[0]), np.inf
    for step in range(1, GREEDY_STEPS + 1):
        distances = [_lengths(total + one).mean() / step for one in errors]
        best = int(np.argmin(distances))
        if distances[best] > (1 - SMALLEST_GAIN) * lowest:
            break
        counts[best] += 1
        total += errors[best]
        lowest = distances[best]
    return counts / counts.sum()


def _errors(points: np.ndarray, truth: np.ndarray, region: slice | np.ndarray = slice(None)) -> np.ndarray:
    """Of all landmarks of all samples, in eye distances: (K, E, 3). Single precision, for the many networks."""
    left, right = EYE_CENTERS
    unit = np.linalg.norm(truth[:, left] - truth[:, right], axis=1)[:, None, None]
    return np.stack([((one - truth) / unit)[:, region].reshape(-1, 3).astype(np.float32) for one in points])


def _lengths(errors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ij,ij->i", errors, errors))  # several times as fast as numpy's norm


def _convex_weights(errors: np.ndarray) -> np.ndarray:
    """The weights (K,) of the lowest mean length of the weighted error vectors; errors (K, E, 3)."""

    def loss_and_slope(weights: np.ndarray) -> tuple[float, np.ndarray]:
        blend = np.tensordot(weights.astype(errors.dtype), errors, axes=1)
        distance = _lengths(blend)
        direction = blend / np.maximum(distance, 1e-12)[:, None]
        slope = np.tensordot(errors, direction, axes=2) / len(distance)
        return distance.mean(dtype=np.float64), slope.astype(np.float64)

    sum_is_one = {"type": "eq", "fun": lambda weights: weights.sum() - 1, "jac": np.ones_like}
    options = {"jac": True, "bounds": [(0, 1)] * len(errors), "constraints": sum_is_one}
    start, goal = np.full(len(errors), 1 / len(errors)), {"ftol": 1e-9, "maxiter": 200}
    weights = np.clip(minimize(loss_and_slope, start, method="SLSQP", options=goal, **options).x, 0, None)
    return weights / weights.sum()
