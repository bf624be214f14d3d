"""Label noise: as large as asked for at the eyes, larger on the contour, shared along outlines."""

from itertools import pairwise

import numpy as np

from kpl.landmarks import EYE_DISTANCE, GROUPS, MEAN_SHAPE
from kpl.studio.dataset import noise

DRAWS = np.stack([noise.jitter(MEAN_SHAPE, 0.02, np.random.default_rng(i)) - MEAN_SHAPE for i in range(400)])


def test_the_spread_is_sigma_at_the_eyes_and_each_groups_factor_elsewhere():
    for group, factor in noise.FACTORS.items():
        spread = DRAWS[:, GROUPS[group]].std() / EYE_DISTANCE
        assert abs(spread / (0.02 * factor) - 1) < 0.05, group
    assert np.abs(DRAWS.mean(axis=0)).max() < 0.02


def test_neighbours_on_an_outline_stray_together_and_strangers_do_not():
    def correlation(a, b):
        return np.corrcoef(DRAWS[:, a, 0], DRAWS[:, b, 0])[0, 1]

    contour = GROUPS["contour"]
    near = np.mean([correlation(a, b) for a, b in pairwise(contour)])
    far = np.mean([correlation(a, b) for a, b in zip(contour[:16], contour[16:], strict=False)])
    assert near > 0.5
    assert far < 0.25
    assert abs(np.mean([correlation(a, b) for a in contour[:8] for b in GROUPS["nose"]])) < 0.05


def test_the_same_generator_gives_the_same_noise_and_zero_gives_none():
    again = noise.jitter(MEAN_SHAPE, 0.02, np.random.default_rng(0)) - MEAN_SHAPE
    assert np.array_equal(again, DRAWS[0])
    assert np.array_equal(noise.jitter(MEAN_SHAPE, 0.0, np.random.default_rng(0)), MEAN_SHAPE)


def test_projecting_is_what_the_cameras_of_a_portrait_do(sitting):
    portrait = sitting.portray("03")
    seen = noise.project(portrait.points, portrait.intrinsics, portrait.extrinsics)
    assert np.abs(seen - portrait.points2d).max() < 1e-6
