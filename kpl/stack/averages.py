"""Weights of several networks, fitted to the score.

Each function takes predictions (K, N, 106, 3) and truth (N, 106, 3) and gives weights (K,) that sum to one.
"""

import numpy as np
from scipy.optimize import minimize

from kpl.landmarks import EYE_CENTERS


def weighted_average(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean of K networks with `weights` (K,): (K, N, 106, 3) -> (N, 106, 3)."""
    return sum(np.float64(weight) * one for weight, one in zip(weights, points))


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
    errors = _errors(points, truth)

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


def _errors(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Of all landmarks of all samples, in eye distances: (K, E, 3). Single precision, for the many networks."""
    left, right = EYE_CENTERS
    unit = np.linalg.norm(truth[:, left] - truth[:, right], axis=1)[:, None, None]
    return np.stack([((one - truth) / unit).reshape(-1, 3).astype(np.float32) for one in points])


def _lengths(errors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ij,ij->i", errors, errors))  # several times as fast as numpy's norm
