"""Averages of several networks' predictions: plain, and with weights fitted to the score."""

import numpy as np
from scipy.optimize import minimize

from kpl.landmarks import EYE_CENTERS


def mean_average(points: np.ndarray) -> np.ndarray:
    """The plain mean of K networks: (K, N, 106, 3) -> (N, 106, 3)."""
    return points.mean(axis=0, dtype=np.float64)


def weighted_average(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean of K networks with `weights` (K,) that sum to one: (K, N, 106, 3) -> (N, 106, 3)."""
    return np.tensordot(weights, points, axes=1)


def fit_weights(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Non-negative weights (K,) summing to one that minimise the mean landmark distance over the eye distance.

    points (K, N, 106, 3), truth (N, 106, 3). That is the official NME without its alignment: convex in the weights,
    so the answer does not depend on a start or a seed. Solved by sequential least squares (Kraft 1988) in scipy.
    """
    networks = len(points)
    left, right = EYE_CENTERS
    eye_distance = np.linalg.norm(truth[:, left] - truth[:, right], axis=1)[:, None, None]
    errors = ((points - truth) / eye_distance).reshape(networks, -1, 3)  # (K, N * 106, 3)

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
