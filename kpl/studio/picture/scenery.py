"""What surrounds the subject: crumpled foil or a wall behind, and the light.

Colours are linear light; lengths are decimetres.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import Delaunay

from kpl.studio.body.people import Subject
from kpl.studio.paint.skin import linear
from kpl.studio.picture.camera import Window

FOIL_WIDTH, FOIL_HEIGHT = 360, 640
FOIL_COUNT = 8
# Numbers of points, amplitudes and blurs of the foil's facets.
_FACET_LAYERS = ((25, 0.9, 3.0), (120, 0.8, 1.5), (600, 0.6, 0.8), (2000, 0.4, 0.6))


@dataclass(frozen=True)
class Light:
    """directions (3, 3): key, fill, rim, towards the light; colors (3, 3); ambient light from above, from
    below and from the camera's side (3,) each; sideways: the ambient light's slant; softness: the lights'
    half width."""

    directions: np.ndarray
    colors: np.ndarray
    sky: np.ndarray
    ground: np.ndarray
    front: np.ndarray
    sideways: float
    softness: float
    exposure: float


def draw_light(subject: Subject, expression: str) -> Light:
    """Key, fill and rim light and the ambient light of one sample."""
    rng = subject.generator("light", expression)

    def direction(azimuth: float, elevation: float) -> np.ndarray:
        a, e = np.deg2rad([azimuth, elevation])
        return np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])

    def tint() -> np.ndarray:
        return 1 + rng.normal(0, 0.05, 3)

    exposure, key = rng.uniform(0.8, 1.25), rng.uniform(0.35, 1.1)
    ambient = rng.uniform(0.25, 0.6) * exposure
    directions = [
        direction(rng.uniform(-70, 70), rng.uniform(5, 65)),
        direction(rng.uniform(-80, 80), rng.uniform(-10, 50)),
        direction(rng.choice([-1, 1]) * rng.uniform(100, 150), rng.uniform(0, 40)),
    ]
    colors = [tint() * key, tint() * key * rng.uniform(0, 0.5), tint() * rng.uniform(0, 0.5)]
    return Light(
        np.array(directions),
        np.array(colors) * exposure,
        sky=tint() * ambient,
        ground=tint() * ambient * rng.uniform(0.3, 0.7),
        front=tint() * ambient * rng.uniform(0, 0.5),
        sideways=ambient * rng.normal(0, 0.15),
        softness=rng.uniform(0.05, 0.35),
        exposure=exposure,
    )


def foil(number: int) -> np.ndarray:
    """Crumpled foil (640, 360, 3), linear light: facets of many sizes, each lit by its own slope."""
    rng = np.random.default_rng([number, 5])
    slopes = np.zeros((FOIL_HEIGHT, FOIL_WIDTH, 2), np.float32)
    for count, amplitude, blur in _FACET_LAYERS:
        slopes += amplitude * cv2.GaussianBlur(_facets(rng, count), (0, 0), blur)
    light = rng.normal(size=2)
    lit = (slopes @ (light / np.linalg.norm(light)) * rng.uniform(0.35, 0.6)).astype(np.float32)
    patches = cv2.resize(
        rng.standard_normal((5, 4), dtype=np.float32), (FOIL_WIDTH, FOIL_HEIGHT), interpolation=cv2.INTER_CUBIC
    )
    grey = (
        0.30
        + 0.11 * np.tanh(lit)
        + 0.30 * np.exp(-(((lit - 1.1) / 0.5) ** 2))
        - 0.05 * np.exp(-(((lit + 1.0) / 0.5) ** 2))
        + 0.07 * patches
    )
    tint = np.array([0.97, 0.985, 1.02]) + rng.normal(0, 0.015, 3)
    return np.clip(grey[..., None] * tint, 0.02, 1).astype(np.float32)


def _facets(rng: np.random.Generator, count: int) -> np.ndarray:
    """Slopes (H, W, 2) of a random surface of flat triangles over `count` points."""
    size = np.array([FOIL_WIDTH, FOIL_HEIGHT])
    corners = np.array([[-200, -200], [FOIL_WIDTH + 200, -200], [-200, FOIL_HEIGHT + 200], size + 200])
    points = np.concatenate([rng.uniform(-0.15, 1.15, (count, 2)) * size, corners])
    triangles = Delaunay(points).simplices
    heights = rng.normal(size=len(points)) * np.sqrt(size.prod() / count)
    planes = np.linalg.solve(
        np.concatenate([points[triangles], np.ones((*triangles.shape, 1))], axis=2), heights[triangles][..., None]
    )[:, :2, 0]
    picture = np.zeros((FOIL_HEIGHT, FOIL_WIDTH, 2), np.float32)
    for triangle, slope in zip(triangles, np.clip(planes, -3, 3), strict=True):
        cv2.fillConvexPoly(
            picture, np.round(points[triangle] * 8).astype(np.int32), tuple(float(x) for x in slope), cv2.LINE_8, 3
        )
    return picture


def draw_wall(rng: np.random.Generator) -> np.ndarray | None:
    """The colour (3,) of a plain wall, or None for a sheet of foil, as most samples have it."""
    color = linear(np.clip(rng.uniform(50, 215) * (1 + rng.normal(0, 0.1, 3)), 20, 240))
    return color if rng.random() < 0.15 else None


def background(
    rng: np.random.Generator,
    foils: list[np.ndarray],
    wall: np.ndarray | None,
    frame: tuple[int, int],
    window: Window,
    brightness: float = 1.0,
    blur: float = 0.0,
) -> np.ndarray:
    """What `window` shows of one view's background, float32 (window.height, window.width, 3): a piece of foil, or a
    plain wall with a slow change of tone, stretched over the whole upright `frame` (width, height); `brightness` times
    as bright, and out of focus by `blur` (sigma, the frame's pixels)."""
    if wall is not None:
        tone = rng.random((4, 3), dtype=np.float32)
        return (0.7 + 0.5 * _stretched(tone, frame, window))[..., None] * (wall * brightness).astype(np.float32)
    picture = foils[rng.integers(len(foils))]
    part = rng.uniform(0.45, 1.0)
    rows, columns = int(FOIL_HEIGHT * part), int(FOIL_WIDTH * part)
    top, left = rng.integers(0, FOIL_HEIGHT - rows + 1), rng.integers(0, FOIL_WIDTH - columns + 1)
    picture = picture[top : top + rows, left : left + columns]
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    if rng.random() < 0.3:
        picture = picture[::-1]
    picture = picture * np.float32(rng.uniform(0.55, 1.3) * brightness)
    if blur > 0:  # the sheet is coarser than the frame: quicker to blur before it is stretched
        picture = cv2.GaussianBlur(picture, (0, 0), blur * columns / frame[0], sigmaY=blur * rows / frame[1])
    return _stretched(picture, frame, window)


def _stretched(picture: np.ndarray, frame: tuple[int, int], window: Window) -> np.ndarray:
    """`picture` stretched over a frame (width, height), as far as `window` shows it."""
    size = picture.shape[1::-1]
    shrink = [size[k] / frame[k] / window.zoom for k in range(2)]
    shift = [(corner * size[k] / frame[k]) + 0.5 * shrink[k] - 0.5 for k, corner in enumerate(window[:2])]
    back = np.array([[shrink[0], 0, shift[0]], [0, shrink[1], shift[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, back, (window.width, window.height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
