import numpy as np

from kpl.bench.networks import prior
from kpl.landmarks import MEAN_SHAPE


def test_a_prior_takes_off_what_no_training_shape_has():
    """Shapes of three directions, answers with noise in all 318: the projection keeps the former and little of the
    latter."""
    rng = np.random.default_rng(0)
    directions = rng.normal(0, 0.02, (3, 106, 3))
    shapes = MEAN_SHAPE + np.einsum("nk,klc->nlc", rng.normal(size=(120, 3)), directions)
    truth, training = shapes[:40], shapes[40:]
    points = truth + rng.normal(0, 0.02, truth.shape)
    subjects = np.repeat(np.arange(10), 4)
    refined, chosen = prior.refined_errors(points, truth, subjects, training)
    before = prior.score.nme(points, truth)
    assert refined.mean() < 0.4 * before.mean() and set(chosen) == {5}
