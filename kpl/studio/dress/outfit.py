"""What a subject wears, and the colours of it and of the eyes, as numbers. Colours are linear light, lengths
decimetres."""

from dataclasses import dataclass

import numpy as np

from kpl.studio.body.people import Subject
from kpl.studio.dress.glasses import draw_frame
from kpl.studio.paint.skin import linear


@dataclass(frozen=True)
class Outfit:
    """Clothes, headband, hair, eyes and the colours of the glasses of one subject."""

    cloth: np.ndarray
    stripe: np.ndarray
    stripe_frequency: float
    stripe_threshold: float
    collar: float
    neckline: float
    band: np.ndarray
    band_half_width: float
    band_height: float
    hair_threshold: float
    hair_gloss: float
    frame: np.ndarray
    frame_gloss: float
    lens_tint: float
    iris: np.ndarray
    iris_angle: float
    pupil_angle: float
    gloss: float
    shininess: float
    roughness: float


def draw_outfit(subject: Subject) -> Outfit:
    """What the subject wears, the same in all expressions."""
    glasses = draw_frame(subject)
    rng = subject.generator("outfit")
    brightness = rng.choice([rng.uniform(10, 70), rng.uniform(60, 230)])
    cloth = brightness * np.clip(1 + rng.normal(0, 0.35, 3), 0.2, 1.8)
    wears_band, striped = rng.random() < 0.85, rng.random() < 0.3
    iris = [48, 30, 20] if rng.random() < 0.85 else rng.choice([[90, 70, 40], [80, 110, 130], [70, 80, 50]])
    return Outfit(
        cloth=linear(np.clip(cloth, 5, 240)),
        stripe=linear(rng.uniform(10, 240, 3)),
        stripe_frequency=rng.uniform(8, 40),
        stripe_threshold=rng.uniform(0.2, 0.9) if striped else 2.0,
        collar=rng.uniform(-1.95, -1.38),
        neckline=rng.choice([0.0, rng.uniform(0.2, 0.9)]),
        band=linear(np.array([22, 22, 24]) if rng.random() < 0.85 else rng.uniform(20, 200, 3)),
        band_half_width=rng.uniform(0.10, 0.20) if wears_band else -1.0,
        band_height=rng.uniform(-0.05, 0.12),
        hair_threshold=rng.uniform(0.0, 0.12),
        hair_gloss=rng.uniform(0.3, 1.5),
        frame=glasses.color if glasses else np.zeros(3),
        frame_gloss=glasses.gloss if glasses else 0.0,
        lens_tint=glasses.tint if glasses else 0.0,
        iris=linear(np.array(iris)),
        iris_angle=rng.uniform(0.37, 0.43),
        pupil_angle=rng.uniform(0.12, 0.22),
        gloss=rng.uniform(0.2, 0.9),
        shininess=rng.uniform(10, 40),
        roughness=0.05 + 0.06 * np.clip((subject.years - 30) / 50, 0, 1),
    )
