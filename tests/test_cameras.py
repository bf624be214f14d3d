"""A shape and three cameras, fitted to what the cameras see of it."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from kpl import cameras, captures, score
from kpl.files import read_npz
from kpl.landmarks import MEAN_SHAPE, mirror_points

WAYS = np.random.default_rng(0).normal(0, 0.02, (8, 106, 3))


def people(count: int, seed: int) -> np.ndarray:
    """Shapes (N, 106, 3) that differ in eight ways."""
    return MEAN_SHAPE + np.einsum("nk,klc->nlc", np.random.default_rng(seed).normal(size=(count, 8)), WAYS)


def pictures(shapes: np.ndarray, yaw: tuple[float, ...], pitch: float, noise: float, nearness: float = 0.1) -> np.ndarray:
    """Where cameras at so many degrees see shapes, in pixels (N, 3, 106, 2): by textbook, and not by the module's own."""
    rng, seen = np.random.default_rng(1), []
    for angle in yaw:
        turn = Rotation.from_euler("XY", [pitch, angle], degrees=True).as_matrix()
        x, y, z = np.moveaxis((shapes - shapes.mean(axis=1, keepdims=True)) @ turn.T, -1, 0)
        seen.append(np.stack([x, -y], axis=-1) / (1 / nearness - z)[..., None] * 1500 + [400, 300])
    seen = np.stack(seen, axis=1)
    radius = np.sqrt(((seen - seen.mean(axis=2, keepdims=True)) ** 2).sum(axis=3).mean(axis=2))
    return seen + noise * radius[..., None, None] * rng.normal(size=seen.shape)


def fitted(seen: np.ndarray, doubt: np.ndarray | None = None, present=(True, True, True)) -> cameras.Fit:
    known = people(300, seed=1)
    doubt = None if doubt is None else torch.from_numpy(doubt)
    seen = np.where(np.array(present)[:, None, None], seen, np.nan)
    return cameras.fit(torch.from_numpy(seen), doubt, cameras.known_shapes(known))


@pytest.mark.parametrize("yaw, pitch", [((28, 0, -28), 0), ((20, 0, -20), 5), ((60, 0, -60), 0), ((25, 4, -45), -15)])
def test_shapes_and_cameras_are_found_wherever_these_stand(yaw, pitch):
    shapes = people(20, seed=2)
    found = fitted(pictures(shapes, yaw, pitch, noise=0.02))
    mean_shape = score.nme(np.broadcast_to(MEAN_SHAPE, shapes.shape), shapes).mean()
    assert score.nme(found.shapes.numpy(), shapes).mean() < 0.35 * mean_shape
    assert (found.yaw - torch.tensor(yaw)).abs().max() < 3 and (found.pitch - pitch).abs().max() < 3
    residual = found.residual.square().mean(dim=2).sqrt() * cameras.GIVEN  # the noise again, as nobody doubted
    assert 0.01 < residual.min() and residual.max() < 0.04


def test_a_view_that_is_missing_says_nothing():
    seen = pictures(people(6, seed=2), (35, 0, -20), 0, noise=0.01)
    lost = np.where(np.array([True, True, False])[:, None, None], seen, np.nan)
    found, ruined = fitted(lost, present=(True, True, False)), fitted(seen + 0 * lost, present=(True, True, False))
    assert torch.isfinite(found.shapes).all() and torch.equal(found.shapes, ruined.shapes)
    assert torch.isnan(found.yaw[:, 2]).all() and torch.isnan(found.residual[:, 2]).all()
    assert (found.yaw[:, :2] - torch.tensor([35.0, 0.0])).abs().max() < 3


def test_what_is_doubted_counts_less():
    shapes = people(12, seed=2)
    seen = pictures(shapes, (30, 0, -30), 0, noise=0.005)
    wrong, doubt = np.random.default_rng(3).random(seen.shape[:3]) < 0.3, np.full(seen.shape[:3], 20.0)
    seen[wrong] += 12  # pixels, all the same way
    doubt[wrong] = 100
    trusting, doubting = (score.nme(fitted(seen, each).shapes.numpy(), shapes).mean() for each in (None, doubt))
    assert doubting < 0.8 * trusting


def test_maps_wider_than_the_face_leave_the_mean_shape_however_the_points_fall():
    """As of a network that has learnt nothing: its points all but coincide, and rounding decides what they look like."""
    points = np.random.default_rng(3).normal(0.5, 4e-3, (2, 3, 106, 2))
    blind = fitted(points, np.full(points.shape[:3], 0.4))
    mean = people(300, seed=1).mean(axis=0)
    assert np.abs(blind.shapes.numpy() - (mean + mirror_points(mean)) / 2).max() < 1e-2
    sharp = fitted(points, np.full(points.shape[:3], 1e-3))
    assert (sharp.shapes - blind.shapes).abs().max() > 0.1 and (blind.spread > sharp.spread).all()


def test_the_fitted_face_shows_where_landmarks_are_better_than_was_given():
    shapes = people(20, seed=2)
    exact, given = (pictures(shapes, (30, 0, -30), 0, noise=noise) for noise in (0, 0.04))
    given[0, 2] = np.nan
    found = fitted(given).points2d.numpy()
    assert np.isnan(found[0, 2]).all()
    ours, theirs = (np.nanmean(np.linalg.norm(points - exact, axis=3)) for points in (found, given))
    assert ours < 0.5 * theirs


def test_three_people_explain_worse_than_one():
    three = [pictures(people(10, seed=seed), (28, 0, -28), 0, noise=0.02) for seed in (2, 3, 4)]
    mixed = np.stack([each[:, view] for view, each in enumerate(three)], axis=1)
    several, one = (fitted(each).residual.square().mean(dim=2).sqrt().mean() for each in (mixed, three[0]))
    assert several > 1.3 * one


def test_fewer_views_are_worth_less_and_the_fit_says_so():
    seen = pictures(people(10, seed=2), (28, 0, -28), 0, noise=0.02)
    three, one = fitted(seen), fitted(seen, present=(False, True, False))
    assert three.spread.shape == (10, 106) and (one.spread > three.spread).all()


def test_the_slopes_are_those_of_automatic_differentiation():
    shapes, generator = cameras.known_shapes(people(300, seed=1)), torch.Generator().manual_seed(0)
    mean, modes = (part.double() for part in (shapes.mean - shapes.mean.mean(dim=0), shapes.modes))
    points = torch.zeros(1, 3, 106, 2).double()
    state = cameras.first_state(points, mean)
    state = state + 0.1 * torch.randn(state.shape, generator=generator, dtype=torch.double)

    def landmarks(state):
        own, of_views = cameras.unpacked(state)
        return cameras.seen((mean + torch.tensordot(own, modes, 1))[:, None], of_views)

    expected = torch.autograd.functional.jacobian(landmarks, state)[0, :, :, :, 0]
    found = cameras.slopes(mean + torch.tensordot(cameras.unpacked(state)[0], modes, 1), state, modes)
    torch.testing.assert_close(found[0], expected)


def test_few_shapes_have_few_components():
    found = cameras.known_shapes(people(5, seed=1)).modes
    assert found.shape == (cameras.COMPONENTS, 106, 3)
    assert found[:9].any(axis=(1, 2)).all() and not found[9:].any()  # five shapes and their mirror images


def test_the_studio_s_cameras_are_found_where_they_stand(tiny_captures):
    """From the true 2D landmarks, with shapes of the same few people as the prior."""
    truth, points = captures.truth(tiny_captures), captures.points2d(tiny_captures)
    held = read_npz(tiny_captures / "cameras.npz", ("samples", "extrinsics"))
    names = [name for name in truth if name in points]
    shapes = np.stack([truth[name] for name in names])
    known = held["extrinsics"][[held["samples"].tolist().index(name) for name in names]]  # (N, 3, 3, 4)
    lying = np.stack([points[name] for name in names])
    upright = torch.from_numpy(np.stack([-lying[..., 1], lying[..., 0]], axis=-1))
    found = cameras.fit(upright, None, cameras.known_shapes(shapes))
    eyes = -np.einsum("nvji,nvj->nvi", known[..., :3], known[..., 3]) - shapes.mean(axis=1)[:, None]  # face to camera
    stands = -np.degrees(np.arctan2(eyes[..., 0], eyes[..., 2]))
    assert np.ptp(stands, axis=1).min() > 40  # three cameras, far apart
    assert (np.abs(found.yaw.numpy() - stands) < 3).mean() >= 0.9
