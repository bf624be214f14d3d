"""Collars and hoods: surfaces about the neck and the head, measured on the body they lie on."""

from dataclasses import dataclass

import numpy as np

from kpl.studio.body.people import Subject
from kpl.studio.mesh.geometry import smoothstep, unit
from kpl.studio.mesh.nearest import Solid
from kpl.studio.mesh.parts import Part
from kpl.studio.mesh.worn import Worn, nothing, sheet, together, tube

# Share of the subjects; the others' clothes end at a plain edge.
_SHARES = {"none": 0.53, "shirt": 0.20, "turtleneck": 0.10, "hood_down": 0.12, "hood_up": 0.05}
_COLUMNS = 40
_BASE = -1.48  # the height of a collar's seam at the sides of the neck, from the eyes (dm)


@dataclass(frozen=True)
class Garment:
    """kind: a key of _SHARES; size 0..1."""

    kind: str
    size: float


def draw_garment(subject: Subject) -> Garment:
    """The subject's collar or hood."""
    rng = subject.generator("garment")
    return Garment(str(rng.choice(list(_SHARES), p=list(_SHARES.values()))), float(rng.random()))


def make(garment: Garment, neck: Solid, head: Solid, eyes: np.ndarray) -> Worn:
    """The garment on a `neck` of skin and a `head` with all it must stay clear of; `eyes` (3,) is the point between
    the eyes."""
    if garment.kind == "shirt":
        return _shirt_collar(garment.size, neck, eyes)
    if garment.kind == "turtleneck":
        return _turtleneck(garment.size, neck, eyes)
    if garment.kind == "hood_down":
        return _lowered_hood(garment.size, neck, eyes)
    if garment.kind == "hood_up":
        return _raised_hood(garment.size, head, eyes)
    return nothing()


def _ring(neck: Solid, eyes: np.ndarray, height: float, angles: np.ndarray, slope: float, gap: float) -> np.ndarray:
    """Points (n, 3) about the neck at `height` from the eyes (lower in front by `slope`), `gap` off the skin; angles
    are 0 in front."""
    middle = eyes + [0, 0, 0.25]
    outward = np.stack([np.sin(angles), np.zeros_like(angles), np.cos(angles)], axis=1)
    start = middle + outward * 0.62
    start[:, 1] += height - slope * np.cos(angles)
    foot, _, _ = neck.nearest(start)
    radius = np.clip(((foot - middle) * outward).sum(axis=1), 0.42, 0.75)
    radius = np.convolve(np.concatenate([radius[-3:], radius, radius[:3]]), np.ones(7) / 7, "valid")
    points = middle + outward * (radius + gap)[:, None]
    points[:, 1] = start[:, 1]
    return points


def _around(opening: float) -> np.ndarray:
    return np.linspace(opening, 2 * np.pi - opening, _COLUMNS)


def _shirt_collar(size: float, neck: Solid, eyes: np.ndarray) -> Worn:
    """A stand about the neck and the leaf folded over it, open in front."""
    base, angles = _BASE - 0.02, _around(0.12 + 0.2 * size)
    spread = smoothstep(1.3, 0.1, np.minimum(angles, 2 * np.pi - angles))[:, None]
    rows = []
    for height, gap in ((-0.12, 0.06), (0.10, 0.05), (0.24, 0.07), (0.25, 0.10), (0.15, 0.14), (-0.02, 0.20)):
        rows.append(_ring(neck, eyes, base + height, angles, 0.24, gap))
    rows[-1] += spread * np.array([0, -0.12 - 0.1 * size, 0.08])
    rows[-2] += spread * np.array([0, -0.04, 0.04])
    return sheet(np.stack(rows), Part.GARMENT, eyes)


def _turtleneck(size: float, neck: Solid, eyes: np.ndarray) -> Worn:
    """A tube about the neck, its upper edge rolled over."""
    base, angles = _BASE - 0.05, np.linspace(0, 2 * np.pi, _COLUMNS)
    top = 0.22 + 0.18 * size
    rows = [
        _ring(neck, eyes, base + height, angles, 0.22, gap)
        for height, gap in (
            (-0.25, 0.10),
            (0.0, 0.05),
            (top, 0.035),
            (top + 0.02, 0.055),
            (top - 0.03, 0.08),
            (0.05, 0.08),
        )
    ]
    return sheet(np.stack(rows), Part.GARMENT, eyes)


def _lowered_hood(size: float, neck: Solid, eyes: np.ndarray) -> Worn:
    """A roll of cloth, thick behind the neck, that ends in front; and its strings."""
    base, angles = _BASE, _around(0.30)
    behind = smoothstep(0.4, 2.6, np.minimum(angles, 2 * np.pi - angles))
    gap = 0.12 + (0.16 + 0.14 * size) * behind
    path = _ring(neck, eyes, base + 0.02, angles, 0.26, 0.0)
    outward = (path - eyes - [0, 0, 0.25]) * [1, 0, 1]
    path = path + unit(outward) * gap[:, None]
    path[:, 1] += 0.10 * behind
    thick = 0.10 + (0.10 + 0.12 * size) * behind
    strings = []
    for end in (path[1], path[-2]):
        hanging = end + np.array([[0, -0.02, 0.10], [0, -0.3, 0.14], [0, -0.6, 0.16]])
        strings.append(tube(neck.push_out(hanging, 0.05), 0.018, Part.GARMENT, eyes))
    return together([tube(path, thick, Part.GARMENT, eyes), *strings])


def _raised_hood(size: float, head: Solid, eyes: np.ndarray) -> Worn:
    """A hood over the head: open before the face, closed under the chin."""
    heights = np.array([-1.75, -1.5, -1.25, -1.0, -0.7, -0.35, 0.0, 0.35, 0.7, 1.0, 1.2, 1.34, 1.40])
    opening = np.interp(heights, [-1.75, -1.45, -1.1, -0.5, 0.4, 0.85, 1.1], [0.1, 0.35, 0.85, 1.15, 1.2, 0.9, 0.0])
    radius = np.interp(
        heights,
        [-1.75, -1.3, -0.6, 0.2, 0.8, 1.0, 1.2, 1.34, 1.40],
        [0.95, 0.8, 0.98, 1.1, 1.02, 0.93, 0.73, 0.42, 0.05],
    )
    turn = np.linspace(0, 1, _COLUMNS)
    angles = opening[:, None] + (2 * np.pi - 2 * opening[:, None]) * turn
    depth = np.where(np.cos(angles) > 0, 1.05, 1.2 + 0.2 * size)
    x, z = radius[:, None] * np.sin(angles), 0.22 + radius[:, None] * np.cos(angles) * depth
    y = np.broadcast_to(heights[:, None] + 0.06 * np.cos(angles), x.shape)
    points = eyes + np.stack([x, y, z], axis=-1)
    cloth = head.push_out(points.reshape(-1, 3), 0.12).reshape(points.shape)
    lining = cloth[:, [0, -1]]
    rim = [tube(lining[:11, i], 0.035, Part.GARMENT, eyes) for i in (0, 1)]
    return together([sheet(cloth, Part.GARMENT, eyes, openness=0.7), *rim])
