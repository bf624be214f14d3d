"""What the years do to a face: sagging and hollows in its shape, and how far skin and hair have aged.

After the anatomy of the ageing face (Mendelson and Wong, Plast. Reconstr. Surg. 2012; Swift et al., J. Cosmet.
Dermatol. 2021): temples and cheeks lose volume, cheeks slide into jowls, lids and the mouth's corners droop, lips
thin, the chin's angle fills, nose and ears grow longer.
"""

import numpy as np

# Local changes of MakeHuman at the age of 80, relative to 25.
_AT_80 = {
    "cheek-inner-incr": -0.30,
    "cheek-trans-up": -0.55,
    "cheek-volume-incr": -0.45,
    "chin-jaw-drop-incr": 0.40,
    "chin-height-incr": -0.15,
    "ear-lobe-incr": 0.40,
    "ear-scale-vert-incr": 0.35,
    "eye-bag-incr": 0.90,
    "eye-bag-height-incr": 0.30,
    "eye-corner2-up": -0.40,
    "eye-eyefold-up": -0.60,
    "eye-height2-incr": -0.25,
    "eye-height3-incr": -0.35,
    "eye-push2-out": -0.20,
    "eyebrows-trans-up": -0.30,
    "forehead-temple-incr": -0.55,
    "head-age-incr": 0.85,
    "mouth-angles-up": -0.20,
    "mouth-laugh-lines-out": -0.50,
    "mouth-lowerlip-volume-incr": -0.50,
    "mouth-upperlip-height-incr": -0.35,
    "mouth-upperlip-volume-incr": -0.60,
    "neck-double-incr": 0.60,
    "nose-flaring-incr": 0.20,
    "nose-point-up": -0.30,
    "nose-point-width-incr": 0.20,
    "nose-scale-vert-incr": 0.20,
}


def shape_offsets(years: float, rng: np.random.Generator) -> dict[str, float]:
    """Offsets of the local changes (by pair) at an age; not everyone ages alike, nor everywhere alike."""
    pace = sagging(years) * rng.uniform(0.75, 1.2)
    return {pair: pace * offset * rng.uniform(0.6, 1.4) for pair, offset in _AT_80.items()}


def sagging(years: float) -> float:
    """How far the shape has aged: 0 up to 30 years, 1 at 80, faster after 45."""
    return float(np.interp(years, [30, 45, 60, 80], [0, 0.2, 0.55, 1]))


def lines(years: float) -> float:
    """How deep the skin's lines at rest are: 0 up to 25 years, 1 at 75."""
    return float(np.interp(years, [25, 35, 50, 65, 75], [0, 0.08, 0.38, 0.78, 1]))


def greyness(years: float, rng: np.random.Generator) -> float:
    """The share of grey hair: half of it at about 62 years, give or take seven; every fourth person dyes it."""
    share = np.clip((years - 62 + rng.normal(0, 7)) / 30 + 0.5, 0, 1) * (0.15 if rng.random() < 0.25 else 1)
    return float(share) if years > 32 else 0.0
