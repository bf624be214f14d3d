import numpy as np
import torch

from kpl.cameras import normalised
from kpl.landmarks import MEAN_SHAPE
from kpl.networks import SUBSETS
from kpl.train import lift


def people(count, seed):
    """Shapes that differ in eight ways, and what three cameras 40 degrees apart see of them, in crop units."""
    ways = np.random.default_rng(0).normal(0, 0.02, (8, 106, 3))
    shapes = MEAN_SHAPE + np.einsum("nk,klc->nlc", np.random.default_rng(seed).normal(size=(count, 8)), ways)
    views = []
    for yaw in np.deg2rad([40, 0, -40]):
        turned = shapes @ np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
        views.append(turned[..., :2] * [0.35, -0.35] + [0.5, 0.4])
    return np.stack(views, axis=1), shapes


def test_people_never_seen_are_lifted_from_the_2d_landmarks_of_any_views():
    points2d, points3d = people(200, seed=1)
    mean, scale = points3d.mean(axis=0), points3d.std(axis=0)
    weight, bias = lift.fit(points2d, points3d, mean, scale, seed=0)
    new2d, new3d = people(20, seed=2)
    for subset, views in enumerate(SUBSETS):
        seen = normalised(torch.from_numpy(new2d)).numpy()
        seen[:, ~np.array(views)] = 9.0  # what an absent view says does not count
        seen = seen.reshape(20, -1)
        lifted = (seen @ weight[subset].T + bias[subset]).reshape(20, 106, 3) * scale + mean
        assert np.abs(lifted - new3d).mean() < 0.3 * np.abs(new3d - mean).mean()


def test_samples_without_2d_landmarks_are_left_out():
    points2d, points3d = people(50, seed=1)
    mean, scale = points3d.mean(axis=0), points3d.std(axis=0)
    points2d[40:] = np.nan
    part = lift.fit(points2d[:40], points3d[:40], mean, scale, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(part, lift.fit(points2d, points3d, mean, scale, seed=0)))
    assert lift.fit(np.full_like(points2d, np.nan), points3d, mean, scale, seed=0) is None


def test_a_view_that_is_never_known_is_not_lifted_from():
    points2d, points3d = people(50, seed=1)
    points2d[:, 1] = np.nan
    weight, bias = lift.fit(points2d, points3d, points3d.mean(axis=0), points3d.std(axis=0), seed=0)
    filled = [bool(weight[i].any() or bias[i].any()) for i in range(len(SUBSETS))]
    assert filled == [not subset[1] for subset in SUBSETS] and np.isfinite(weight).all()
