"""Imperfect truth: landmarks that stray as those of scans do.

A landmark strays in all three coordinates of the canonical frame, normally distributed. Marks that are defined by a
corner or a ring stay near; along the jaw, where nothing says how far along or how far round a mark is to be set, they
stray three times as far. Whoever sets a mark too low on an outline sets its neighbours too low: most of the error is
shared along the outline.
"""

import numpy as np

from kpl import landmarks

FACTORS = {"eyes": 1.0, "nose": 1.2, "lips": 1.2, "brows": 1.8, "contour": 3.0}  # times sigma
_REACH = 0.35  # eye distances along an outline after which neighbours agree by exp(-1/2)
_SHARED = 0.9  # of the variance; the rest is each landmark's own


def factors() -> np.ndarray:
    """(106,) each landmark's share of sigma."""
    result = np.zeros(landmarks.COUNT)
    for group, factor in FACTORS.items():
        result[landmarks.GROUPS[group]] = factor
    return result


def correlation() -> np.ndarray:
    """(106, 106) of the landmarks' errors: high along an outline, zero between outlines."""
    result = np.eye(landmarks.COUNT)
    free = np.ones(landmarks.COUNT, bool)
    for outline in landmarks.OUTLINES.values():
        own = np.array([i for i in dict.fromkeys(outline.tolist()) if free[i]])  # a mark of two outlines: the first's
        free[own] = False
        apart = np.linalg.norm(landmarks.MEAN_SHAPE[own, None] - landmarks.MEAN_SHAPE[None, own], axis=2)
        result[np.ix_(own, own)] = _SHARED * np.exp(-0.5 * (apart / (_REACH * landmarks.EYE_DISTANCE)) ** 2)
    np.fill_diagonal(result, 1)
    return result


def jitter(points: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Points (106, 3), canonical, as a scan would have them: `sigma` is each coordinate's spread at the eyes, in eye
    distances."""
    errors = np.linalg.cholesky(correlation()) @ rng.standard_normal((landmarks.COUNT, 3))
    return points + errors * (factors() * sigma * landmarks.EYE_DISTANCE)[:, None]


def project(points: np.ndarray, intrinsics: np.ndarray, extrinsics: np.ndarray) -> np.ndarray:
    """Points (106, 3) seen by V cameras (V, 3, 3), (V, 3, 4): (V, 106, 2) in their lying pixels."""
    seen = np.einsum("vij,nj->vni", extrinsics[..., :3], points) + extrinsics[:, None, :, 3]
    seen = np.einsum("vij,vnj->vni", intrinsics, seen)
    return seen[..., :2] / seen[..., 2:]
