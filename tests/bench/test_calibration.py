import numpy as np
import pytest

from kpl.bench.networks import calibration


def test_a_factor_from_other_subjects_puts_the_scale_right_and_nothing_else():
    rng = np.random.default_rng(0)
    predicted = rng.uniform(0.01, 0.1, (60, 106))
    distance = 0.7 * predicted * np.sqrt((rng.normal(size=(60, 106, 3)) ** 2).mean(axis=2))
    scaled = calibration.calibrated(predicted, distance, np.repeat(np.arange(12), 5))
    assert calibration.rms(distance) / calibration.rms(predicted) < 0.75
    assert calibration.rms(distance) / calibration.rms(scaled) == pytest.approx(1, abs=0.02)
    assert np.ptp(scaled[0] / predicted[0]) < 1e-12  # within a sample the order stays


def test_a_subject_does_not_calibrate_itself():
    predicted, distance = np.ones((10, 106)), np.ones((10, 106))
    distance[:2] = 100.0  # subject 0
    scaled = calibration.calibrated(predicted, distance, np.repeat(np.arange(5), 2))
    assert (scaled[:2] == 1).all() and (scaled[2:] > 10).all()
