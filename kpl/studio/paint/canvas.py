"""The plane that the skin's features are drawn in, and the way from it to the atlas.

Features are drawn frontally, where the reference head's landmarks are known, and carried to the atlas by each
texel's reference position: so that painted brows and lips lie on the landmarks. Lengths are decimetres.
"""

from functools import cached_property

import cv2
import numpy as np

from kpl.studio.body.anatomy import Anatomy
from kpl.studio.body.reference import hairline

PIXELS_PER_DM = 200
HALF_WIDTH, TOP = 1.3, 1.0
_SIZE = round(2 * HALF_WIDTH * PIXELS_PER_DM)
_SUBPIXEL_BITS = 4


class Canvas:
    """The frontal plane that features are drawn in, and the way from it to the atlas."""

    def __init__(self, anatomy: Anatomy):
        self.anatomy = anatomy
        self.shape = anatomy.atlas_position.shape[:2]
        pixels = self._pixels(anatomy.atlas_position).astype(np.float32)
        self._map_x, self._map_y = np.ascontiguousarray(pixels[..., 0]), np.ascontiguousarray(pixels[..., 1])
        self._is_front = (anatomy.atlas_position[..., 2] > 0.75).astype(np.float32)

    @cached_property
    def height_over_hairline(self) -> np.ndarray:
        """Of each texel (H, A), in dm."""
        position = self.anatomy.atlas_position
        return (position[..., 1] - hairline(position)).astype(np.float32)

    @staticmethod
    def blank() -> np.ndarray:
        """An empty drawing."""
        return np.zeros((_SIZE, _SIZE), np.float32)

    @staticmethod
    def _pixels(points: np.ndarray) -> np.ndarray:
        return np.stack([points[..., 0] + HALF_WIDTH, TOP - points[..., 1]], axis=-1) * PIXELS_PER_DM

    def _fixed_point(self, points: np.ndarray) -> np.ndarray:
        return np.round(self._pixels(np.asarray(points, float)) * (1 << _SUBPIXEL_BITS)).astype(np.int32)

    def line(self, drawing: np.ndarray, points: np.ndarray, value: float, width: float = 0.005) -> None:
        """A polyline through points (n, >=2)."""
        thickness = max(1, round(width * PIXELS_PER_DM))
        corners = [self._fixed_point(points)]
        cv2.polylines(drawing, corners, False, value, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)

    def fill(self, drawing: np.ndarray, points: np.ndarray, value: float = 1.0) -> None:
        """A filled polygon (n, >=2)."""
        cv2.fillPoly(drawing, [self._fixed_point(points)], value, cv2.LINE_AA, _SUBPIXEL_BITS)

    def spot(self, drawing: np.ndarray, center: tuple[float, float], radii: tuple[float, float], value: float) -> None:
        """A filled ellipse."""
        x, y = self._pixels(np.array(center))
        axes = tuple(max(1, round(radius * PIXELS_PER_DM)) for radius in radii)
        cv2.ellipse(drawing, (round(x), round(y)), axes, 0, 0, 360, value, -1)

    def to_atlas(self, drawing: np.ndarray, blur: float) -> np.ndarray:
        """The drawing, softened by `blur` dm, laid on the front of the head: (H, A)."""
        soft = cv2.GaussianBlur(drawing, (0, 0), blur * PIXELS_PER_DM)
        return cv2.remap(soft, self._map_x, self._map_y, cv2.INTER_LINEAR) * self._is_front

    def noise(self, rng: np.random.Generator, texels: int, amplitude: float) -> np.ndarray:
        """Smooth noise (H, A) with about `texels` texels a bump."""
        height, width = self.shape
        coarse = rng.standard_normal((height // texels + 2, width // texels + 2), dtype=np.float32)
        return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR) * amplitude
