"""Cameras that differ, blur that leaves points where they are, and grain that grows with light."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from kpl.studio.body import people
from kpl.studio.picture import camera, sensor
from kpl.studio.picture.camera import Window

pytestmark = pytest.mark.usefixtures("photographer")  # kernels compiled into the studio's cache

PLAIN = sensor.Sensor(np.ones(3), 1.0, 1.0, 0.0, 0.5, 0.0, 0.1, 100)
SIZE = (64, 96)


def developed(light, one=PLAIN, gain=1.0, seed=0):
    """The lying picture, RGB, of an upright full frame."""
    frame = (light.shape[1], light.shape[0])
    data = sensor.develop(light.astype(np.float32), one, gain, seed, frame, Window(0, 0, 1, *frame))
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(float)


def flat(level):
    return np.full((SIZE[1], SIZE[0], 3), level)


def test_developing_lays_the_picture_on_its_left_side():
    light = flat(0.0)
    light[:24] = 1.0  # bright above
    lying = developed(light)
    assert lying.shape == (SIZE[0], SIZE[1], 3)
    assert lying[:, :16].min() > 200 and lying[:, 40:].max() < 40


def test_colours_keep_their_order_and_white_is_white():
    red = developed(flat(0.0) + [0.5, 0.1, 0.02]).mean(axis=(0, 1))
    assert red[0] > 150 > red[1] > red[2]
    assert developed(flat(3.0)).min() == 255 and developed(flat(0.0)).max() == 0


def test_gain_vignetting_and_saturation_do_what_they_say():
    grey = developed(flat(0.2))
    assert developed(flat(0.1), gain=2.0) == pytest.approx(grey, abs=1)
    dim = developed(flat(0.2), replace(PLAIN, vignetting=0.4))
    assert dim[0, 0].max() < grey.mean() - 15 and dim[32, 48] == pytest.approx(grey[32, 48], abs=1)
    colored = flat(0.0) + [0.4, 0.2, 0.1]
    pale, strong = (np.ptp(developed(colored, replace(PLAIN, saturation=s)).mean(axis=(0, 1))) for s in (0.7, 1.2))
    assert pale + 20 < strong


def test_the_brighter_the_light_the_more_of_it_is_noise():
    """Measured back in linear light: the variance is that of reading and a share of the light."""
    one = replace(PLAIN, noise=0.02, read_share=0.2)
    values, first = np.unique(sensor.tone_curve(1.0), return_index=True)
    for level in (0.1, 0.2, 0.5):
        seen = np.interp(developed(flat(level), one)[..., 1], values, (first / 2047) ** 2)
        expected = 0.02 * np.sqrt(0.2 + 0.8 * level / 0.2)
        assert seen.std() == pytest.approx(expected, rel=0.3)
        assert seen.mean() == pytest.approx(level, abs=0.01)


def test_grain_is_blotchy_coloured_and_has_no_seam():
    grain = sensor.grain().numpy()
    assert np.allclose(grain.std(axis=(0, 1)), 1, atol=1e-3)
    beside = [(grain[..., k] * np.roll(grain[..., k], 1, axis=1)).mean() for k in range(3)]
    assert min(beside[0], beside[2]) > beside[1] > 0.2
    assert (grain[:, 0] * grain[:, -1]).mean(axis=0) == pytest.approx(beside, abs=0.15)


def test_other_seeds_are_other_grain_and_the_same_seed_the_same():
    one = replace(PLAIN, noise=0.02)
    first, again, other = (developed(flat(0.2), one, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize("streak", [(0.0, 0.0), (6.0, 0.0), (-3.0, 4.5)])
def test_blur_keeps_brightness_and_the_middle_of_things(streak):
    picture = np.zeros((41, 41, 3), np.float32)
    picture[20, 20] = 1.0
    blurred = sensor.blurred(picture, 1.0, np.array(streak))[..., 0]
    rows, columns = np.indices(blurred.shape)
    middle = np.array([(columns * blurred).sum(), (rows * blurred).sum()])
    assert blurred.sum() == pytest.approx(1, abs=1e-3) and middle == pytest.approx([20, 20], abs=1e-3)
    moved = np.array([columns - 20, rows - 20]).reshape(2, -1)
    spread = np.sqrt(moved**2 @ blurred.ravel())
    assert spread == pytest.approx(np.sqrt(1 + np.square(streak) / 12), rel=0.2)


def test_a_streak_is_how_far_the_projection_moves():
    lens = camera.Camera(np.array([0.0, 0.0, 10.0]), np.eye(3), 1000.0, np.zeros(2))
    assert sensor.streak(lens, np.zeros(3), np.array([0.02, -0.01, 0.0])) == pytest.approx([2.0, 1.0])


def test_three_cameras_of_a_session_are_alike_but_not_equal(anatomy):
    subjects = [people.draw_subject(2, number, anatomy.label_list) for number in range(1, 9)]
    gains = np.array([[one.gain for one in sensor.draw_sensors(subject)[0]] for subject in subjects])
    assert np.all(gains.std(axis=1) > 0)
    assert gains.std(axis=1).mean() < gains.mean(axis=1).std(axis=0).mean()
    first, again = (sensor.draw_sensors(subjects[0])[0] for _ in range(2))
    assert all(np.array_equal(a.gain, b.gain) for a, b in zip(first, again, strict=True))


def test_about_one_sample_in_ten_moves_visibly(anatomy):
    takes = [sensor.draw_take(people.Subject(1, number, True, 30.0, np.zeros(3), {}), "03") for number in range(1, 301)]
    moving = np.mean([np.linalg.norm(take.motion) >= 0.012 for take in takes])
    unsharp = np.mean([take.defocus > 0.7 for take in takes])
    assert 0.06 < moving < 0.15 and 0.08 < unsharp < 0.17
