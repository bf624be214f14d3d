"""Glasses: rims, bridge, arms and thin lenses, fitted to a face by its landmarks.

The eyes' landmarks stay those of the eyes behind them.
"""

from dataclasses import dataclass

import numpy as np

from kpl import landmarks
from kpl.studio.body.people import Subject
from kpl.studio.mesh.nearest import Solid
from kpl.studio.mesh.parts import Part
from kpl.studio.mesh.worn import Worn, nothing, sheet, together, tube

_SHARE = 0.12  # of the subjects wear glasses
_RING = 24


@dataclass(frozen=True)
class Frame:
    """Half width and half height of a lens (dm), its corners' power (2 is round), how far its outer corner is
    drawn up, the rim's thickness (dm); color (3,) in linear light, gloss, and the lenses' tint 0..1."""

    width: float
    height: float
    power: float
    sweep: float
    rim: float
    color: np.ndarray
    gloss: float
    tint: float


def draw_frame(subject: Subject) -> Frame | None:
    """The subject's glasses, or None: most wear none."""
    rng = subject.generator("glasses")
    wears = rng.random() < _SHARE
    metal = rng.random() < 0.45
    power = rng.choice([2.0, 2.6, 4.0, 6.0])
    width = rng.uniform(0.22, 0.275)
    brightness = rng.uniform(0.15, 0.5) if metal else rng.choice([0.01, 0.01, rng.uniform(0.02, 0.3)])
    frame = Frame(
        width=width,
        height=width * (rng.uniform(0.88, 1.0) if power == 2.0 else rng.uniform(0.58, 0.85)),
        power=power,
        sweep=rng.uniform(0, 0.03),
        rim=rng.uniform(0.007, 0.011) if metal else rng.uniform(0.013, 0.028),
        color=np.clip(brightness * (1 + rng.normal(0, 0.2, 3)), 0.005, 0.8).astype(np.float32),
        gloss=3.0 if metal else 0.8,
        tint=rng.uniform(0.02, 0.15),
    )
    return frame if wears else None


def fit(frame: Frame | None, points: np.ndarray, solid: Solid, eyes: np.ndarray) -> Worn:
    """The glasses on a face with landmarks `points` (106, 3); `solid` is the head, `eyes` (3,) the point between
    its eyes."""
    if frame is None:
        return nothing()
    centers = points[list(landmarks.EYE_CENTERS)]
    half = np.abs(centers[0, 0] - centers[1, 0]) / 2 + 0.01
    middle = centers.mean(axis=0) + [0, -0.04, 0.13]
    angle = np.linspace(0, 2 * np.pi, _RING, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    x = half + frame.width * np.sign(c) * np.abs(c) ** (2 / frame.power)
    y = frame.height * np.sign(s) * np.abs(s) ** (2 / frame.power) + frame.sweep * c
    ring = np.stack([x, y, -0.10 * x**2 + 0.06 * y], axis=1) + middle  # bent to the face, its foot tilted in
    _, _, distance = solid.nearest(ring)
    ring[:, 2] += max(0.0, 0.035 - distance.min()) * 1.5
    mirror = np.array([-1.0, 1, 1])
    pieces = []
    for side in (1.0, -1.0):
        rim = ring if side > 0 else (ring - [middle[0], 0, 0]) * mirror + [middle[0], 0, 0]
        pieces.append(tube(rim, frame.rim, Part.FRAME, eyes, closed=True))
        lens = np.stack([rim, np.broadcast_to(rim.mean(axis=0) + [0, 0, 0.02], rim.shape)])
        pieces.append(sheet(np.concatenate([lens, lens[:, :1]], axis=1), Part.LENS, eyes))
        pieces.append(_arm(rim, side, frame, middle, solid, eyes))
    inner = ring[(np.abs(angle - np.pi * 0.83)).argmin()] - middle
    t = np.linspace(-1, 1, 7)
    bridge = np.stack([inner[0] * t, inner[1] + 0.04 * (1 - t**2), inner[2] + 0.03 * (1 - t**2)], axis=1) + middle
    pieces.append(tube(bridge, frame.rim * 1.1, Part.FRAME, eyes))
    return together(pieces)


def _arm(rim: np.ndarray, side: float, frame: Frame, middle: np.ndarray, solid: Solid, eyes: np.ndarray) -> Worn:
    """From the rim's outer end along the temple to behind the ear."""
    outer = rim[(side * rim[:, 0] + 0.5 * rim[:, 1]).argmax()]
    t = np.linspace(0, 1, 9)[:, None]
    end = np.array([middle[0] + side * 0.76, eyes[1] + 0.06, 0.30])
    path = outer + (end - outer) * t
    path[1, 0] += side * 0.03
    path = np.concatenate([path, path[-1:] + [0, -0.16, -0.14]])
    path[2:] = solid.push_out(path[2:], 0.02)
    radii = np.broadcast_to([max(frame.rim * 0.6, 0.008), max(frame.rim * 1.2, 0.010)], (len(path), 2))
    return tube(path, radii, Part.FRAME, eyes)
