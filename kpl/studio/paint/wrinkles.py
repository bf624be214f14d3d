"""Wrinkles as relief: lines that the years leave, and those that come and go with the expression.

They are drawn in the frontal plane (see `kpl.studio.paint.canvas`) as valleys. What the renderer gets is a map of the
same plane that tilts the skin's normals, so that each line has a lit and a shaded side, and darkens its bottom.
"""

import cv2
import numpy as np

from kpl import landmarks
from kpl.studio.body import ageing
from kpl.studio.body.people import Subject
from kpl.studio.paint.canvas import PIXELS_PER_DM, Canvas

# The facial actions that fold the skin: region -> (action without its side, share). Sided regions fold each for
# itself; "Left" is the subject's.
_FOLDS = {
    "forehead": (("browInnerUp", 0.6), ("browOuterUp", 0.6)),
    "frown": (("browDown", 1.0), ("noseSneer", 0.3)),
    "crow": (("cheekSquint", 0.6), ("eyeSquint", 0.5), ("mouthSmile", 0.4), ("eyeBlink", 0.2)),
    "bag": (("cheekSquint", 0.4), ("mouthSmile", 0.3)),
    "nasolabial": (("mouthSmile", 0.9), ("noseSneer", 0.6), ("mouthUpperUp", 0.5)),
    "marionette": (("mouthFrown", 0.7), ("mouthSmile", 0.2)),
}
_SIDED = ("crow", "bag", "nasolabial", "marionette")
# How deep each region's lines are at 75 years, at rest; and how wide (dm, the standard deviation).
_AT_REST = {"forehead": 0.75, "frown": 0.6, "crow": 0.8, "bag": 1.0, "nasolabial": 1.25, "marionette": 1.1, "fine": 1.0}
_WIDTH = {"nasolabial": 0.020, "bag": 0.016, "marionette": 0.015, "frown": 0.011, "fine": 0.006}
_THIN = 0.0095
_DEPTH = 0.026  # dm, of a line drawn with the value 1
_DARKNESS = 0.30


class Wrinkles:
    """One subject's lines: drawn once, weighted by each expression."""

    def __init__(self, canvas: Canvas, subject: Subject):
        rng = subject.generator("wrinkles")
        self._years = ageing.lines(subject.years)
        self._rest = {region: value * rng.uniform(0.6, 1.25) for region, value in _AT_REST.items()}
        points = canvas.anatomy.reference_landmarks[:, :2]
        self._maps = {}
        for region, side, curves in _curves(points, rng):
            drawing = canvas.blank()
            for curve, value in curves:
                _draw(canvas, drawing, curve, value)
            self._maps[region, side] = _valley(drawing, _WIDTH.get(region, _THIN))
        self._fine = _crepe(canvas, rng)

    def relief(self, actions: dict[str, float]) -> np.ndarray:
        """The frontal plane's map (S, S, 3) float32 with the facial `actions` (weights by basis label) on: how far
        the normal tilts to the right and up, and the share of light that the valleys swallow."""
        height = self._fine * np.float32(-self._years * self._rest["fine"])
        valleys = np.zeros_like(height)
        for (region, side), valley in self._maps.items():
            moving = (0.35 + 1.1 * self._years) * _folding(region, side, actions)
            valleys += valley * np.float32(min(self._years * self._rest[region] + moving, 2.2))
        height -= valleys
        slope = PIXELS_PER_DM * _DEPTH / 8  # a Sobel filter sums eight differences of one pixel
        return np.dstack(
            [
                -slope * cv2.Sobel(height, cv2.CV_32F, 1, 0),
                slope * cv2.Sobel(height, cv2.CV_32F, 0, 1),  # rows run down
                np.minimum(_DARKNESS * valleys, 0.6),
            ]
        )


def _folding(region: str, side: str, actions: dict[str, float]) -> float:
    """How strongly an expression folds a region, about 0..1."""
    sides = (side,) if side else ("Left", "Right")
    amount = 0.0
    for action, share in _FOLDS[region]:
        both = [actions.get(f"face:{action}{end}", actions.get(f"face:{action}", 0.0)) for end in sides]
        amount += share * max(float(np.mean(both)), 0.0)
    return min(amount, 1.2)


def _curves(points: np.ndarray, rng: np.random.Generator):
    """Region, side and its curves [(points (n, 2) dm, value)], with the subject's own irregularities."""

    def at(name: str) -> np.ndarray:
        return points[landmarks.index(name)]

    def jitter(curve: list, amount: float = 0.012) -> np.ndarray:
        return np.array(curve) + rng.normal(0, amount, (len(curve), 2))

    brow = points[landmarks.GROUPS["brows"], 1].max()
    x = np.linspace(-0.42, 0.42, 7)
    forehead = []
    for row in range(int(rng.integers(3, 6))):
        y = brow + 0.10 + 0.085 * row + rng.normal(0, 0.012) + 0.03 * np.cos(x * 3.5) + rng.normal(0, 0.010, len(x))
        first, last = sorted(rng.choice(3, 2)), len(x)
        forehead.append((np.stack([x, y], axis=1)[first[0] : last - first[1]], rng.uniform(0.5, 1.0)))
    yield "forehead", "", forehead
    root = at("nose_root")
    yield (
        "frown",
        "",
        [
            (jitter([[side * 0.045, root[1] + 0.05], [side * 0.06, root[1] + 0.15], [side * 0.05, root[1] + 0.26]]), v)
            for side, v in ((-1, rng.uniform(0.4, 1)), (1, rng.uniform(0.4, 1)))
        ]
        + [(jitter([[-0.08, root[1] + 0.01], [0, root[1] - 0.01], [0.08, root[1] + 0.01]], 0.006), 0.4)],
    )
    for side, end, seen in ((1, "Left", "right"), (-1, "Right", "left")):
        sign = np.array([side, 1.0])
        corner, inner = at(f"{seen}_eye_outer_corner") * sign, at(f"{seen}_eye_inner_corner") * sign
        low, ala, mouth = (
            at(f"{seen}_eye_lower_mid") * sign,
            at(f"{seen}_ala") * sign,
            at(f"lip_outer_{seen}_corner") * sign,
        )
        crow = []
        for angle in np.deg2rad(np.array([38, 16, -6, -28, -48]) + rng.normal(0, 6, 5)):
            way, length = np.array([np.cos(angle), np.sin(angle)]), rng.uniform(0.11, 0.20)
            bend = np.array([0.0, -0.012])
            curve = [corner + way * 0.045, corner + way * (0.045 + length / 2) + bend, corner + way * (0.045 + length)]
            crow.append((jitter(curve, 0.005) * sign, rng.uniform(0.35, 0.8)))
        yield "crow", end, crow
        bag = [inner + [0.01, -0.05], low + [-0.02, -0.085], low + [0.06, -0.085], corner + [-0.01, -0.06]]
        second = [inner + [0.03, -0.10], low + [0.0, -0.15], corner + [-0.02, -0.13]]
        yield "bag", end, [(jitter(bag, 0.006) * sign, 0.8), (jitter(second, 0.010) * sign, 0.4)]
        fold = [ala + [0.045, 0.05], ala + [0.085, -0.04], (ala + mouth) / 2 + [0.09, -0.02], mouth + [0.08, -0.01]]
        yield "nasolabial", end, [(jitter(fold, 0.008) * sign, 1.0)]
        down = [mouth + [0.025, -0.02], mouth + [0.05, -0.10], mouth + [0.06, -0.20]]
        yield "marionette", end, [(jitter(down, 0.008) * sign, 0.8)]


def _draw(canvas: Canvas, drawing: np.ndarray, curve: np.ndarray, value: float) -> None:
    """A smooth line through points (n, 2) that thins out towards both ends."""
    steps = np.linspace(0, 1, 17)
    knots = np.linspace(0, 1, len(curve))
    degree = min(len(curve) - 1, 3)
    line = np.stack([np.polyval(np.polyfit(knots, axis, degree), steps) for axis in curve.T], axis=1)
    for i in range(len(steps) - 1):
        strength = value * np.sin(np.pi * (steps[i] + steps[i + 1]) / 2) ** 0.6
        canvas.line(drawing, line[i : i + 2], float(strength))


def _valley(drawing: np.ndarray, width: float) -> np.ndarray:
    """A drawn line as a valley of unit depth with the skin heaped up a little on both sides."""
    sigma = width * PIXELS_PER_DM
    narrow, wide = (cv2.GaussianBlur(drawing, (0, 0), s) * (s * np.sqrt(2 * np.pi)) for s in (sigma, 2.5 * sigma))
    return (narrow - 0.45 * wide).astype(np.float32)


def _crepe(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """The fine criss-cross of old skin."""
    grain = rng.standard_normal(canvas.blank().shape, dtype=np.float32)
    across = cv2.GaussianBlur(grain, (0, 0), 3.2, sigmaY=1.3)
    along = cv2.GaussianBlur(grain[::-1].copy(), (0, 0), 1.3, sigmaY=3.2)
    return (across / across.std() + along / along.std()) * np.float32(0.028)
