"""How much more or less a part of the face shines than the rest: oily forehead and nose, moist lips, wet lids."""

import numpy as np

from kpl.landmarks import OUTLINES
from kpl.studio.body.people import Subject
from kpl.studio.paint.canvas import Canvas


def paint_sheen(canvas: Canvas, subject: Subject) -> np.ndarray:
    """The factors (H, A) float32 on the skin's gloss."""
    rng = subject.generator("sheen")
    oily, lids = canvas.blank(), canvas.blank()
    canvas.spot(oily, (0, 0.36), (0.38, 0.20), 0.8)
    canvas.spot(oily, (0, -0.24), (0.09, 0.26), 1.0)
    canvas.spot(oily, (0, -1.02), (0.13, 0.09), 0.6)
    for side in (-1, 1):
        canvas.spot(oily, (side * 0.38, -0.30), (0.14, 0.10), 0.5)
    for name in ("left_eye", "right_eye"):
        canvas.line(lids, canvas.anatomy.reference_landmarks[OUTLINES[name]][4:], 1.0, 0.008)
    pores = np.abs(canvas.noise(rng, 2, 0.35)) + np.abs(canvas.noise(rng, 9, 0.2))
    return (
        0.65
        + canvas.to_atlas(oily, 0.06) * rng.uniform(0.3, 1.3) * (1 - 0.6 * pores)
        + canvas.anatomy.lips * rng.uniform(0.4, 2.0)
        + canvas.to_atlas(lids, 0.005) * 5.0
    ).astype(np.float32)
