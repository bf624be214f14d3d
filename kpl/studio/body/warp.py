"""The population's warp: a smooth displacement of the whole head that carries its landmarks to given places.

MakeHuman's changes alone do not reach the competition's mean shape. What they leave over is kept as one displacement
for each landmark (population_warp.json, in decimetres) and spread over the head by thin-plate splines (Bookstein 1989).
"""

import json
from pathlib import Path

import numpy as np
from scipy.interpolate import RBFInterpolator

from kpl import landmarks
from kpl.studio.mesh.parts import Part

FILE = Path(__file__).with_name("population_warp.json")
_SMOOTHING = 2e-4  # dm: neighbours that pull apart compromise rather than crease
_FAR, _ANCHORS = 0.55, 700  # dm from any landmark the head keeps still, at about this many points


def shape(vertices: np.ndarray, part: np.ndarray, points: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Displacements (V, 3) of a head's vertices (V, 3) that move its landmarks (106, 3) by about `moves` (106, 3).

    `part` (V,) says what each vertex belongs to. Mirror-symmetric. Eyeballs, and teeth with the tongue, move as
    wholes: they keep their form.
    """
    left, right = ((part == ball) for ball in (Part.LEFT_EYE, Part.RIGHT_EYE))
    field = _field(vertices[part == Part.SKIN], points, moves)
    result = field(vertices)
    for ball, eye in ((left, landmarks.EYE_CENTERS[0]), (right, landmarks.EYE_CENTERS[1])):
        result[ball] = _symmetric(moves)[eye]
    mouth = (part == Part.TEETH) | (part == Part.TONGUE)
    result[mouth] = result[mouth].mean(axis=0) * [0, 1, 1]
    result[part == Part.CLOTHES] = 0
    return result


def read() -> np.ndarray:
    """The landmarks' displacements (106, 3) in dm."""
    return np.array(json.loads(FILE.read_text(encoding="utf-8")))


def _field(skin: np.ndarray, points: np.ndarray, moves: np.ndarray):
    """The function from places (n, 3) to displacements (n, 3)."""
    points, moves = (points + landmarks.mirror_points(points)) / 2, _symmetric(moves)
    on_skin = np.setdiff1d(np.arange(landmarks.COUNT), [*landmarks.EYE_CENTERS, *landmarks.PUPILS])
    distance = np.linalg.norm(skin[:, None] - points[None, on_skin], axis=2).min(axis=1)
    still = skin[distance > _FAR]
    still = still[:: max(1, len(still) // _ANCHORS)]
    still = np.concatenate([still, still * [-1, 1, 1]])
    centers = np.concatenate([points[on_skin], still])
    centers, first = np.unique(centers.round(5), axis=0, return_index=True)
    values = np.concatenate([moves[on_skin], np.zeros_like(still)])[first]
    spline = RBFInterpolator(centers, values, kernel="thin_plate_spline", smoothing=_SMOOTHING)

    def symmetric(places: np.ndarray) -> np.ndarray:
        flip = np.array([-1, 1, 1])
        return (spline(places) + spline(places * flip) * flip) / 2

    return symmetric


def _symmetric(moves: np.ndarray) -> np.ndarray:
    return (moves + landmarks.mirror_points(moves)) / 2
