"""Where the skin shines."""

import numpy as np

from kpl import landmarks
from kpl.studio.body import people
from kpl.studio.paint import sheen
from kpl.studio.paint.canvas import Canvas


def test_lips_and_nose_shine_more_than_the_cheeks(anatomy):
    canvas = Canvas(anatomy)
    point = anatomy.reference_landmarks
    cheek = (point[landmarks.index("left_ala")] + point[landmarks.index("contour_06")]) / 2

    def at(factors: np.ndarray, where: np.ndarray) -> float:
        near = np.linalg.norm((anatomy.atlas_position - where)[..., :2], axis=2) < 0.06
        return float(factors[near & (anatomy.atlas_position[..., 2] > 0.9)].mean())

    for number in (1, 2):
        factors = sheen.paint_sheen(canvas, people.draw_subject(1, number, anatomy.label_list))
        assert factors.dtype == np.float32 and factors.min() > 0
        lip = at(factors, point[landmarks.index("lip_outer_lower_mid")] + [0, 0.05, 0])
        nose = at(factors, np.array([0, -0.3, point[landmarks.index("left_ala"), 2]]))
        assert min(lip, nose) > at(factors, cheek)
