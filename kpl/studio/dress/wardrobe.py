"""What a subject wears on the head and about the neck, as meshes: hair, glasses, collars, hoods."""

from dataclasses import replace

import numpy as np

from kpl.studio.body import hair
from kpl.studio.body.anatomy import Anatomy
from kpl.studio.body.head import Head
from kpl.studio.body.people import Subject
from kpl.studio.dress import garments, glasses
from kpl.studio.dress.outfit import Outfit
from kpl.studio.mesh.nearest import Solid
from kpl.studio.mesh.parts import Part
from kpl.studio.mesh.worn import Worn, together


def match(outfit: Outfit, style: hair.Style, garment: garments.Garment) -> Outfit:
    """The outfit, without a headband where the hair falls over the face, and reaching up to a collar or hood."""
    if not style.band or garment.kind == "hood_up":
        outfit = replace(outfit, band_half_width=-1.0)
    if garment.kind != "none":
        outfit = replace(outfit, collar=max(outfit.collar, -1.34), neckline=0.3)
    return outfit


def dress(
    anatomy: Anatomy,
    subject: Subject,
    style: hair.Style,
    outfit: Outfit,
    garment: garments.Garment,
    rest: np.ndarray,
    head: Head,
) -> Worn:
    """All that the subject wears; `rest` (V, 3) are its mesh vertices and `head` the head at rest."""
    eyes = head.eye_centers.mean(axis=0) * [1, 1, 0]
    mesh = anatomy.triangles[np.isin(anatomy.part, (Part.SKIN, Part.BODY, Part.CLOTHES))]
    solid = Solid(head.vertices[: len(rest)], mesh)
    skin = anatomy.triangles[np.isin(anatomy.part, (Part.SKIN, Part.BODY))]
    neck = solid if garment.kind == "none" else Solid(head.vertices[: len(rest)], skin)
    held = outfit.band_height + outfit.band_half_width if outfit.band_half_width > 0 else -np.inf
    return together(
        [
            glasses.fit(glasses.draw_frame(subject), head.landmarks, solid, eyes),
            garments.make(garment, neck, solid, eyes),
            hair.grow(anatomy, subject, style, held, rest, solid, eyes),
        ]
    )
