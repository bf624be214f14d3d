import numpy as np
import pytest

from kpl import landmarks


def test_the_scheme_is_whole():
    assert landmarks.COUNT == len(set(landmarks.NAMES)) == 106
    assert sorted(np.concatenate(list(landmarks.GROUPS.values()))) == list(range(106))
    assert [landmarks.NAMES[i] for i in landmarks.EYE_CENTERS] == ["left_eye_center", "right_eye_center"]
    assert len(landmarks.ALIGN) == 7 and len(landmarks.INNER) == 73


def test_mirror_partners_are_mutual_and_change_sides():
    assert (landmarks.MIRROR[landmarks.MIRROR] == np.arange(106)).all()
    for name, partner in zip(landmarks.NAMES, landmarks.MIRROR):
        if name.startswith("left_"):
            assert landmarks.NAMES[partner].startswith("right_")


def test_the_mean_shape_is_nearly_its_own_mirror_image():
    mirrored = landmarks.mirror_points(landmarks.MEAN_SHAPE)
    assert np.abs(mirrored - landmarks.MEAN_SHAPE).max() < 0.05
    assert np.array_equal(landmarks.mirror_points(mirrored), landmarks.MEAN_SHAPE)


def test_mirroring_in_the_picture_agrees_with_mirroring_in_space():
    width = 200.0
    picture = landmarks.MEAN_SHAPE[:, :2] * [50, -50] + [width / 2, 100]
    space = landmarks.mirror_points(landmarks.MEAN_SHAPE)
    assert np.allclose(landmarks.mirror_points2d(picture, width), space[:, :2] * [50, -50] + [width / 2, 100])


def test_outlines_join_neighbours():
    longest = {
        name: np.linalg.norm(np.diff(landmarks.MEAN_SHAPE[line], axis=0), axis=1).max()
        for name, line in landmarks.OUTLINES.items()
    }
    assert max(longest.values()) < 0.4, longest


def test_an_unknown_name_is_an_error():
    with pytest.raises(ValueError):
        landmarks.index("left_ear")
