"""A subject's skin, painted as an atlas over the face's texture island.

Lengths are decimetres of the reference head; colours are linear light, 0..1.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from kpl import landmarks
from kpl.landmarks import OUTLINES
from kpl.studio.body import ageing, hair as hair_style
from kpl.studio.body.people import Subject
from kpl.studio.paint.canvas import Canvas
from kpl.studio.paint.sheen import paint_sheen

_SKIN_TONES = np.array([[118, 78, 58], [212, 168, 140], [226, 178, 156]], float)  # African, Asian, Caucasian


@dataclass(frozen=True)
class Paint:
    """atlas (H, A, 3) float32; sheen (H, A) float32: gloss against the rest of the face's, 1 on average; skin and hair:
    the plain colours (3,) of what lies outside the atlas."""

    atlas: np.ndarray
    sheen: np.ndarray
    skin: np.ndarray
    hair: np.ndarray


def linear(color: np.ndarray) -> np.ndarray:
    """sRGB-like 0..255 to linear light 0..1."""
    return (np.asarray(color, np.float32) / 255.0) ** 2.2


def paint(canvas: Canvas, subject: Subject) -> Paint:
    """Paint the subject's skin."""
    rng, style = subject.generator("skin"), hair_style.draw_style(subject)
    tone = subject.ancestry @ _SKIN_TONES * rng.uniform(0.84, 1.06) + rng.normal(0, 4, 3) * [1, 0.7, 1.2]
    tone = np.clip(tone, 25, 250)
    aged = subject.generator("ageing")
    aged_share = ageing.lines(subject.years)
    tone = tone + aged_share * np.array([-4, -5, -9])  # old skin is a little duller and yellower
    grey = ageing.greyness(subject.years, aged)
    young_hair = _hair_color(rng)
    hair, brow_hair, beard_hair = (_greyed(young_hair, share) for share in (grey, 0.5 * grey, min(1.15 * grey, 1)))
    atlas = np.broadcast_to(linear(tone), (*canvas.shape, 3)).copy()
    unevenness = _blemishes(canvas, rng) * (1 + 0.6 * aged_share) - _flush(canvas, rng)
    unevenness = unevenness - _spots(canvas, aged, subject.years)
    atlas *= np.exp(unevenness - _shade(canvas, rng, subject.years)[..., None])
    atlas = _lips(canvas, rng, subject.male, tone, atlas, aged_share)
    atlas = _mix(atlas, brow_hair, _brows(canvas, rng, subject.male) * (1 - 0.35 * aged_share))
    if subject.male:
        atlas = _mix(atlas, beard_hair * 0.8 + 0.012, _beard(canvas, rng))
    _moles(rng, subject.years, atlas)
    hairline = canvas.height_over_hairline - hair_style.lost(canvas.anatomy.atlas_position, style)
    roots = hairline + canvas.noise(rng, 4, 0.03) + canvas.noise(rng, 14, 0.03) - 0.02
    stubble = (1 - canvas.anatomy.ears) * 0.93 / (1 + np.exp(-np.clip(roots * 40, -20, 20)))
    atlas = _mix(atlas, hair * 0.9, stubble)
    atlas = np.clip(atlas, 0.002, 0.95).astype(np.float32)
    return Paint(atlas, paint_sheen(canvas, subject), linear(tone), hair * rng.uniform(0.6, 1.3))


def _mix(under: np.ndarray, color: np.ndarray, share: np.ndarray) -> np.ndarray:
    return under + (color - under) * share[..., None].astype(np.float32)


def _hair_color(rng: np.random.Generator) -> np.ndarray:
    darkness = rng.choice([25, 35, 60], p=[0.6, 0.3, 0.1])
    return linear(np.clip(darkness * np.array([1.15, 0.95, 0.85]) + rng.uniform(0, 12, 3), 5, 120))


def _greyed(color: np.ndarray, share: float) -> np.ndarray:
    """Hair of a colour (3,) of which a share has turned grey."""
    return color * (1 - share) + share * linear(np.array([158, 156, 153]))


def _blemishes(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Uneven tone from wide patches down to pores, (H, A, 1)."""
    return sum(
        canvas.noise(rng, texels, amplitude) for texels, amplitude in ((60, 0.05), (20, 0.03), (6, 0.02), (2, 0.035))
    )[..., None]


def _flush(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Redness of cheeks, nose, chin and ears: how much green and blue are taken off, (H, A, 3)."""
    drawing = canvas.blank()
    for center, radius, value in (
        ((0.38, -0.42), 0.28, 0.5),
        ((-0.38, -0.42), 0.28, 0.5),
        ((0, -0.38), 0.15, 0.6),
        ((0, -1.05), 0.15, 0.35),
    ):
        canvas.spot(drawing, center, (radius, radius), value)
    red = (
        canvas.to_atlas(drawing, 0.115) * rng.uniform(0.3, 1.2)
        + canvas.anatomy.ears * 0.35
        + np.abs(canvas.noise(rng, 8, 0.06))
    )
    return red[..., None] * np.array([0.02, 0.32, 0.30], np.float32)


def _shade(canvas: Canvas, rng: np.random.Generator, years: float) -> np.ndarray:
    """Dark lines and hollows: under the eyes, lids, the line of the mouth. (H, A), as an
    exponent."""
    points = canvas.anatomy.reference_landmarks
    hollows, lines, lids = (canvas.blank() for _ in range(3))
    for side in (-1, 1):
        canvas.spot(hollows, (side * 0.30, -0.10), (0.16, 0.066), 1.0)
    for name in ("left_eye", "right_eye"):
        ring = points[OUTLINES[name]]
        canvas.line(lids, ring[:5], 1.0, 0.018)
        canvas.line(lids, ring[4:], 0.45, 0.008)
    inner_lip = points[OUTLINES["lip_inner"]]
    canvas.line(lines, inner_lip[:5], 1.0, 0.008)
    return (
        canvas.to_atlas(hollows, 0.04) * (rng.uniform(0.05, 0.38) + 0.15 * ageing.lines(years))
        + canvas.to_atlas(lines, 0.005)
        + canvas.to_atlas(lids, 0.005) * rng.uniform(1.2, 2.4)
        + canvas.anatomy.eyelids * rng.uniform(0.05, 0.3)
    )


def _spots(canvas: Canvas, rng: np.random.Generator, years: float) -> np.ndarray:
    """Blotches and age spots: how much of red, green and blue is taken off, (H, A, 3)."""
    age = ageing.lines(years)
    drawing = canvas.blank()
    for _ in range(rng.poisson(26 * age)):
        center = rng.uniform([-0.7, -1.1], [0.7, 0.65])
        radius = rng.uniform(0.008, 0.03)
        canvas.spot(drawing, tuple(center), (radius, radius * rng.uniform(0.6, 1.4)), rng.uniform(0.2, 0.9))
    spots = canvas.to_atlas(drawing, 0.008) * (1 + canvas.noise(rng, 4, 0.5))
    blotches = np.clip(canvas.noise(rng, 24, 0.10) + canvas.noise(rng, 9, 0.06), -0.2, 0.3) * age
    brown, red = np.array([0.28, 0.42, 0.50], np.float32), np.array([0.15, 0.65, 0.6], np.float32)
    return np.clip(spots, 0, 1)[..., None] * brown + blotches[..., None] * red


def _lips(
    canvas: Canvas, rng: np.random.Generator, male: bool, tone: np.ndarray, atlas: np.ndarray, aged: float
) -> np.ndarray:
    lipstick = 0.0 if male else rng.uniform(0, 1) ** 4
    color = linear(
        np.clip(tone * [0.90, 0.70, 0.70] + lipstick * np.array([5, -45, -30]) + rng.normal(0, 6, 3), 10, 255)
    )
    share = cv2.GaussianBlur(canvas.anatomy.lips, (0, 0), 1.0) * rng.uniform(0.45, 0.85) * (1 - 0.4 * aged)
    return _mix(atlas, color * (1 + canvas.noise(rng, 3, 0.08))[..., None], share)


def _brows(canvas: Canvas, rng: np.random.Generator, male: bool) -> np.ndarray:
    """Share of hair (H, A) in the brows: a filled shape and single hairs combed outwards."""
    drawing = canvas.blank()
    for name, outwards in (("left_brow", -1), ("right_brow", 1)):
        ring = canvas.anatomy.reference_landmarks[OUTLINES[name]][:, :2]
        canvas.fill(drawing, ring)
        upper = ring[:5]
        parts = [ring[:1], ring[5:9][::-1]] if outwards < 0 else [ring[5:9][::-1], ring[4:5]]
        lower = np.concatenate(parts)  # beside `upper`, point by point; they meet at the brow's tail
        for _ in range(120):
            along, across = rng.random() * 3.999, rng.random()
            i, part = int(along), along % 1
            root = (upper[i] * (1 - part) + upper[i + 1] * part) * across + (
                lower[i] * (1 - part) + lower[i + 1] * part
            ) * (1 - across)
            tip = root + [outwards * rng.uniform(0.02, 0.045), rng.uniform(-0.005, 0.02)]
            canvas.line(drawing, np.stack([root, tip]), rng.uniform(0.5, 1.3))
    density = rng.uniform(0.55, 1.0) if male else rng.uniform(0.45, 0.85)
    hair = np.clip(canvas.to_atlas(drawing, 0.0056), 0, 1) * density
    return np.clip(hair * np.clip(0.9 + canvas.noise(rng, 2, 0.12), 0.3, 1.2), 0, 0.97)


def _beard(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Share of hair (H, A) in the beard's shadow, between the jaw's contour and the mouth."""
    jaw = canvas.anatomy.reference_landmarks[landmarks.GROUPS["contour"][4:29], :2] * [0.97, 1.02]
    above = np.array([[0.42, -0.62], [0.25, -0.52], [0, -0.50], [-0.25, -0.52], [-0.42, -0.62]])
    drawing = canvas.blank()
    canvas.fill(drawing, np.concatenate([jaw, above]))
    strength = rng.uniform(0, 0.5) ** 1.3 if rng.random() < 0.85 else rng.uniform(0.5, 0.85)
    shadow = canvas.to_atlas(drawing, 0.075) * (1 - cv2.GaussianBlur(canvas.anatomy.lips, (0, 0), 1.5))
    return np.clip(shadow * strength * (1 + canvas.noise(rng, 2, 0.22)), 0, 0.9)


def _moles(rng: np.random.Generator, years: float, atlas: np.ndarray) -> None:
    for _ in range(rng.poisson(5 + max(0, years - 50) * 0.2)):
        y, x = rng.integers(0, atlas.shape[0]), rng.integers(0, atlas.shape[1])
        tint = rng.uniform(0.25, 0.6) if rng.random() < 0.7 else np.array([1.0, 0.72, 0.7])
        color = tuple(float(value) for value in atlas[y, x] * tint)
        cv2.circle(atlas, (int(x), int(y)), int(rng.choice([1, 2], p=[0.7, 0.3])), color, -1, cv2.LINE_AA)
