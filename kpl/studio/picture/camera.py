"""Three cameras on a rig, and what they see where.

Picture coordinates are continuous: (0, 0) is the outer corner of the first pixel, whose centre is (0.5, 0.5).
An upright picture is width x height = 720 x 1280 at scale 1; a lying picture is the upright one turned 90
degrees counter-clockwise, 1280 x 720.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from kpl.errors import BadInput
from kpl.studio.body.people import Subject
from kpl.studio.mesh.geometry import rotation

WIDTH, HEIGHT = 720, 1280
# Mean box centres of the competition's lists, upright (x, y), at scale 1.
_FACE_CENTERS = np.array([[461.0, 706.0], [381.0, 716.0], [266.0, 708.0]])

# Pixels at scale 1 and a distance of 9 dm: gives the lists' mean box side of 302 pixels.
_FOCAL = 1585.0
_BOX_MARGIN = (1.12, 1.28)
COMPETITION = 28.0  # degrees from the middle camera to either side: two finders' estimates of the real rig, 27 to 30


class Window(NamedTuple):
    """A rectangle of an upright picture: its corner (left, top) and its extent in that picture's pixels, and how many
    pixels of its own it has to each of them (`zoom`). Its own picture has `width` x `height` pixels."""

    left: float
    top: float
    zoom: float
    width: int
    height: int

    @classmethod
    def square(cls, left: float, top: float, side: float, size: int) -> "Window":
        """A square of `side` pixels of the picture, seen as `size` x `size` pixels: a crop."""
        return cls(left, top, size / side, size, size)


@dataclass(frozen=True)
class Camera:
    """eye (3,) dm; axes (3, 3): rows right, up, back; focal and center (2,) in upright pixels."""

    eye: np.ndarray
    axes: np.ndarray
    focal: float
    center: np.ndarray

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) in the studio's frame (dm) to upright picture coordinates (..., 2)."""
        right, up, back = np.moveaxis((points - self.eye) @ self.axes.T, -1, 0)
        return self.center + self.focal * np.stack([right, -up], axis=-1) / -back[..., None]

    def window(self, window: Window) -> "Camera":
        """The camera whose whole upright picture is what this one sees in `window`."""
        corner = np.array([window.left, window.top])
        return replace(self, focal=self.focal * window.zoom, center=(self.center - corner) * window.zoom)


def frame_size(scale: float) -> tuple[int, int]:
    """Width and height of an upright picture at `scale`."""
    return round(WIDTH * scale), round(HEIGHT * scale)


def lay_down(points: np.ndarray, upright_width: float) -> np.ndarray:
    """Upright picture coordinates (..., 2) to lying ones: the picture is turned 90 degrees
    counter-clockwise."""
    return np.stack([points[..., 1], upright_width - points[..., 0]], axis=-1)


def check_rig(rig: str) -> None:
    """Raises BadInput unless `draw_stands` knows the rig."""
    try:
        known = rig in ("competition", "free") or all(5 <= side <= 75 for side in _degrees(rig)[:2])
    except ValueError:
        known = False
    if not known:
        what = "competition, free, or the side cameras' degrees from 5 to 75: 28, or 25,45, or 25,45,15 with a pitch"
        raise BadInput(f"The rig must be {what}; not {rig}.")


def _degrees(rig: str) -> tuple[float, float, float]:
    """Yaw of the left and of the right camera, and pitch of all. Raises ValueError if they are something else."""
    left, *others = map(float, rig.split(","))
    right, pitch = {0: (left, 0.0), 1: (*others, 0.0), 2: others}.get(len(others), ("", ""))
    return left, float(right), float(pitch)


def draw_stands(subject: Subject, rig: str) -> tuple[np.ndarray, tuple[float, float]]:
    """Where the cameras of a rig stand before each strays a little: yaw, pitch and roll (3, 3) in degrees of views 0, 1
    and 2, where view 0 stands at the picture's left, so that the nose points right in it; and the nearest and farthest
    that they may stand, in dm.

    rig: "competition"; "free", as people put up cameras, no two sides alike; or the side cameras' degrees, "LEFT,RIGHT" or
    "LEFT,RIGHT,PITCH" where they differ.
    """
    rng = subject.generator("stand")
    pitch, roll, distances = np.zeros(3), np.zeros(3), (8.0, 10.0)
    if rig == "free":
        (left, right), distances = rng.uniform(15, 60, 2), (4.0, 14.0)
        pitch, roll = rng.uniform(-15, 15, 3), rng.uniform(-10, 10, 3)
    elif rig == "competition":
        left = right = rng.normal(COMPETITION, 2.2)  # with what each strays: 3 degrees
        pitch = pitch + rng.normal(0, 3)
    else:
        left, right, above = _degrees(rig)
        pitch = pitch + above
    return np.stack([np.array([-left, 0, right]), pitch, roll], axis=1), distances


def draw_rig(subject: Subject, points: np.ndarray, width: int, rig: str) -> list[Camera]:
    """The subject's three cameras (views 0, 1, 2), placed so that a face with landmarks `points` (106, 3) has
    its box at the competition's mean place; poses then move it. `width` is the upright picture's."""
    rng = subject.generator("rig")
    scale = width / WIDTH
    stands, distances = draw_stands(subject, rig)
    distance = rng.uniform(*distances)
    focal = _FOCAL * distance / 9.0 * rng.uniform(0.92, 1.08)
    cameras = []
    for (yaw, pitch, roll), seen_at in zip(stands, _FACE_CENTERS, strict=True):
        axes = rotation(yaw + rng.normal(0, 2), pitch - (rng.normal(0, 2) - 2), roll + rng.normal(0, 1.5)).T
        away = distance * rng.uniform(0.97, 1.03)
        straight = Camera(
            points.mean(axis=0) + axes[2] * away, axes, focal * scale, np.array([WIDTH, HEIGHT]) * scale / 2
        )
        seen = straight.project(points)
        right, down = (seen_at * scale - (seen.min(axis=0) + seen.max(axis=0)) / 2) / straight.focal * away
        cameras.append(replace(straight, eye=straight.eye - axes[0] * right + axes[1] * down))
    return cameras


def projection(
    camera: Camera,
    similarity: tuple[float, np.ndarray, np.ndarray],
    width: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Intrinsics (3, 3) and extrinsics (3, 4) that take a frame's points straight to *lying* picture
    coordinates.

    `similarity` (scale, rotation, translation) takes that frame to the studio's: p = scale * rotation @ q +
    translation. As in OpenCV the camera looks along +z, and x, y run along the lying picture's: u = K (R q +
    t), divided by u's third. The similarity's scale cancels in the division, so that R is a rotation.
    """
    scale, turn, shift = similarity
    lying = np.stack([-camera.axes[1], -camera.axes[0], -camera.axes[2]])  # down, left, forward
    matrix = np.concatenate([lying @ turn, (lying @ (shift - camera.eye) / scale)[:, None]], axis=1)
    center = lay_down(camera.center, width)
    return np.array([[camera.focal, 0, center[0]], [0, camera.focal, center[1]], [0, 0, 1]]), matrix


def face_box(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A square box (x1, y1, x2, y2), whole pixels, around picture points (106, 2), a little off as a
    detector's is."""
    low, high = points.min(axis=0), points.max(axis=0)
    side = (high - low).max() * rng.uniform(*_BOX_MARGIN)
    center = (low + high) / 2 + rng.normal(0, 0.02, 2) * side
    corner = np.round(center - side / 2).astype(int)
    return np.concatenate([corner, corner + round(side)])
