"""The painting lies on the landmarks."""

import numpy as np

from kpl import landmarks
from kpl.studio.body import people
from kpl.studio.paint import skin
from kpl.studio.paint.canvas import Canvas


def color_at(anatomy, paint, point):
    """Mean brightness of the atlas within 0.02 dm of a point of the reference head."""
    near = np.linalg.norm(anatomy.atlas_position - point, axis=2) < 0.025
    assert near.any()
    return paint.atlas[near].mean(axis=0)


def test_brows_are_dark_and_lips_are_red_where_the_landmarks_are(anatomy):
    canvas = Canvas(anatomy)
    reference = anatomy.reference_landmarks
    for number in (1, 2, 3):
        subject = people.draw_subject(1, number, anatomy.label_list)
        paint = skin.paint(canvas, subject)
        assert paint.atlas.dtype == np.float32 and (paint.atlas > 0).all() and (paint.atlas < 1).all()
        plain = color_at(anatomy, paint, reference[landmarks.index("left_brow_upper_2")] + [0, 0.12, 0])
        for side in ("left", "right"):
            brow = (
                reference[landmarks.index(f"{side}_brow_upper_2")] + reference[landmarks.index(f"{side}_brow_lower_1")]
            ) / 2
            assert color_at(anatomy, paint, brow).sum() < 0.8 * plain.sum()
        lip = color_at(anatomy, paint, reference[landmarks.index("lip_outer_lower_mid")] + [0, 0.03, 0])
        assert lip[0] / lip[1] > 1.1 * plain[0] / plain[1]


def test_the_same_subject_has_the_same_skin(anatomy):
    canvas = Canvas(anatomy)
    first, again, other = (
        skin.paint(canvas, people.draw_subject(1, number, anatomy.label_list)) for number in (4, 4, 5)
    )
    assert np.array_equal(first.atlas, again.atlas)
    assert not np.array_equal(first.atlas, other.atlas)
