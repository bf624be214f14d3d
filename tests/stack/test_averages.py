import numpy as np
import pytest

from kpl.landmarks import MEAN_SHAPE
from kpl.stack import averages, equal_weights, fit_weights, weighted_average


def networks(*errors: float) -> tuple[np.ndarray, np.ndarray]:
    """Networks with independent errors of these sizes: points (K, 50, 106, 3) and truth."""
    rng = np.random.default_rng(1)
    truth = MEAN_SHAPE + rng.normal(0, 0.02, (50, 106, 3))
    return truth + rng.normal(0, 1, (len(errors), 50, 106, 3)) * np.array(errors)[:, None, None, None], truth


def test_weights_find_the_better_network():
    points, truth = networks(0.01, 0.03, 0.3)
    weights = fit_weights(points, truth)
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all()
    # Independent errors: the best weights go with one over the variance, 9 : 1 : 0.01.
    np.testing.assert_allclose(weights, [0.9, 0.1, 0.001], atol=0.01)
    np.testing.assert_array_equal(weights, fit_weights(points, truth))
    np.testing.assert_array_equal(averages.single_weights(points[::-1], truth), [0, 0, 1])


def test_weights_of_one_network_and_of_twins():
    points, truth = networks(0.01)
    np.testing.assert_allclose(fit_weights(points, truth), [1])
    twins = np.repeat(points, 2, axis=0)
    np.testing.assert_allclose(fit_weights(twins, truth), [0.5, 0.5])
    np.testing.assert_array_equal(equal_weights(twins, truth), [0.5, 0.5])
    np.testing.assert_allclose(weighted_average(twins, np.array([0.5, 0.5])), twins.mean(axis=0))
