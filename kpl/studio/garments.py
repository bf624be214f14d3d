"""Collars and hoods about the neck."""

import numpy as np

from kpl.studio.nearest import Solid
from kpl.studio.people import Subject
from kpl.studio.scenery import Outfit
from kpl.studio.worn import Worn, nothing


def draw_garment(subject: Subject) -> str:
    return ""


def make(kind: str, outfit: Outfit, solid: Solid, eyes: np.ndarray) -> Worn:
    return nothing()
