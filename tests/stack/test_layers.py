"""The second layers, those that stand in 04_stack too: what they learn, and what they must not."""

import dataclasses
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch

from kpl import score, stack
from kpl.landmarks import MEAN_SHAPE
from stack.made import make_store

LEARNT = ["ridge", "lightgbm", "neural"]
SLOW = ("lightgbm", "neural")


def quick(**constants: Any) -> dict[str, Any]:
    """What 04_stack's cells define, with fewer trees and epochs, enough for so few samples."""
    scope = stack.method()
    scope |= {"ROUNDS": 25, "EPOCHS": 8, "HEADS": 1} | constants
    return scope


@pytest.fixture(scope="module")
def scope() -> dict[str, Any]:
    return quick()


@pytest.fixture(scope="module")
def answers(scope) -> dict[str, np.ndarray]:
    store = make_store()
    return {name: stack.cross_fit(layer, store, seed=0) for name, layer in scope["layers"].items()}


def test_a_bias_that_can_be_learnt_is_learnt(answers):
    """By each layer for itself: a head that learns nothing would stay at the weighted mean."""
    store = make_store()
    nme = {name: score.nme(points, store.truth).mean() for name, points in answers.items()}
    for name in LEARNT:
        assert nme[name] < 0.85 * min(nme["mean"], nme["weighted"]), nme
    assert nme["neural"] != pytest.approx(nme["ridge"], rel=1e-4)


def test_a_head_that_cannot_learn_answers_the_weighted_mean():
    store = make_store(12)
    scope = quick(RATE=1e-12)
    found = stack.refit(scope["layers"]["neural"], store, store.test_points, 0)
    mirrored = stack.with_mirrored(stack.LAYERS["weighted"])
    np.testing.assert_allclose(found, stack.refit(mirrored, store, store.test_points, 0), atol=1e-6)


@pytest.mark.parametrize("token, landmark", [(1, 3), (104, 0)])
def test_the_head_carries_what_is_not_linear_from_landmark_to_landmark(token, landmark):
    """One landmark's answer is the size of another's token; the whole face says nothing. The recurrent units walk
    forward only, so the first landmark learns of a late one by attention alone."""
    scope = quick(EPOCHS=25, DECAY=0.01)
    draws = torch.Generator().manual_seed(0)
    tokens, face, target = torch.zeros(240, 106, 3), torch.zeros(240, 4), torch.zeros(240, 106, 3)
    tokens[:, token] = torch.randn(240, 1, generator=draws)
    target[:, landmark] = tokens[:, token].abs()
    torch.manual_seed(0)
    head = scope["Head"](3, 4)
    scope["train"](head, tokens[:200], face[:200], target[:200], draws)
    with torch.no_grad():
        found = head(tokens[200:], face[200:])[:, landmark, 0]
    assert np.corrcoef(found, target[200:, landmark, 0])[0, 1] > 0.3  # a dead path has a constant to say


def test_the_blend_is_the_mean_of_its_layers():
    answers = {name: np.full((2, 106, 3), float(i)) for i, name in enumerate((*stack.BLENDED, "single"))}
    np.testing.assert_array_equal(stack.blended(answers), np.full((2, 106, 3), 1.0))


def test_the_whole_face_is_that_of_all_features_at_once():
    store = make_store()
    seen, new = said(store.points), said(store.test_points[:, 0])
    found, new_found = stack.whole_face(seen, new, 6)
    features, new_features = (np.concatenate(one.blocks.astype(np.float64), axis=1) for one in (seen, new))
    center = features.mean(axis=0)
    axes = np.linalg.svd(features - center, full_matrices=False)[2][:6]
    expected, new_expected = (features - center) @ axes.T, (new_features - center) @ axes.T
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found * signs, expected, atol=1e-3)
    np.testing.assert_allclose(new_found * signs, new_expected, atol=1e-3)


def said(points: np.ndarray) -> stack.Said:
    flat = (points.reshape(*points.shape[:2], -1) - MEAN_SHAPE.reshape(-1)) / 0.02
    average = flat.mean(axis=0)
    return stack.Said(average, np.stack([average, *(flat - average)]).astype(np.float32))


def test_many_networks_need_no_matrix_of_all_their_coordinates():
    """40 networks say 13,038 numbers of a face: their covariance alone would be 1.4 GB."""
    store = make_store(20)
    noise = np.random.default_rng(0).normal(0, 0.005, (20, *store.points.shape)).astype(np.float32)
    points = (store.points + noise).reshape(40, *store.truth.shape)
    tracemalloc.start()
    found = stack.ridge(points, store.truth, store.subjects, points[:, :5], 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.shape == (5, 106, 3) and peak < 8 * points.nbytes


def test_test_samples_pass_fold_by_fold_and_are_averaged():
    """A layer that is not linear: it must see each fold's predictions, not their mean."""
    store = make_store(7)
    new_points = np.stack([store.points[:, :3] + shift for shift in (0.0, 2.0)], axis=1)
    squares = stack.refit(lambda points, truth, subjects, new, seed: new[0] ** 2, store, new_points, 0)
    np.testing.assert_allclose(squares, (new_points[0] ** 2).mean(axis=0))


def overfitted_networks(truth: np.ndarray, folds: np.ndarray, views: np.ndarray) -> np.ndarray:
    """Held-out predictions (K, N, 106, 3) of learners that really were trained fold by fold on `truth`: least squares
    with nearly as many features as samples, which knows its training labels almost by heart. views: (K, N, F)
    features."""
    flat = truth.reshape(len(truth), -1)
    points = np.empty((len(views), *flat.shape))
    for k, features in enumerate(views):
        for fold in np.unique(folds):
            fit = folds != fold
            mean = flat[fit].mean(axis=0)
            weights = np.linalg.lstsq(features[fit], flat[fit] - mean, rcond=None)[0]
            points[k, ~fit] = mean + 0.3 * features[~fit] @ weights
    return points.reshape(len(views), *truth.shape)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in (*stack.LAYERS, *SLOW)],
)
def test_networks_that_learnt_noise_by_heart_leak_nothing(name):
    """Labels are noise, and the networks of other folds have seen them: still no second layer beats the mean shape."""
    layer = quick(ROUNDS=5)["layers"][name]
    rng = np.random.default_rng(3)
    store, ratios = make_store(bias=False), []
    for _ in range(3):
        subject = np.unique(store.subjects, return_inverse=True)[1]
        noise = rng.normal(0, 0.02, (subject.max() + 1, 106, 3))[subject] + rng.normal(0, 0.005, store.truth.shape)
        features = rng.normal(size=(2, subject.max() + 1, 12))[:, subject] + rng.normal(0, 0.1, (2, len(subject), 12))
        truth = MEAN_SHAPE + noise
        points = overfitted_networks(truth, store.folds, features).astype(np.float32)
        labelled = dataclasses.replace(store, truth=truth, points=points)
        nme = score.nme(stack.cross_fit(layer, labelled, 0), truth).mean()
        ratios.append(nme / score.nme(stack.mean_shape(labelled), truth).mean())
    assert np.mean(ratios) > 0.999, ratios


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in (*stack.LAYERS, *SLOW)],
)
def test_held_out_truth_is_never_fitted(name):
    """The truth of one group of subjects is poisoned: the answers for that group stay as they were."""
    store, poisoned = make_store(12), make_store(12)
    held_out = store.groups == 1
    poisoned.truth[held_out] += 1000
    layer = quick(ROUNDS=2, EPOCHS=2)["layers"][name]
    np.testing.assert_array_equal(
        stack.cross_fit(layer, poisoned, 0)[held_out], stack.cross_fit(layer, store, 0)[held_out]
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNT)
def test_truth_that_has_nothing_to_do_with_the_predictions_teaches_nothing(name):
    """Every subject gets another's truth: on average no second layer does better than the mean shape."""
    layer = quick(ROUNDS=5)["layers"][name]
    store, ratios = make_store(bias=False), []
    for shift in (1, 6, 11):  # a shift leaves no subject its own truth, as a random permutation may
        other = dataclasses.replace(store, truth=np.roll(store.truth, 5 * shift, axis=0))
        nme = score.nme(stack.cross_fit(layer, other, 0), other.truth).mean()
        ratios.append(nme / score.nme(stack.mean_shape(other), other.truth).mean())
    assert np.mean(ratios) > 1, ratios


@pytest.mark.parametrize("name", SLOW)
def test_the_same_seed_gives_the_same_answer_and_another_another(name):
    store, layer = make_store(20), quick(ROUNDS=5, EPOCHS=3, HEADS=2)["layers"][name]
    state = torch.get_rng_state()
    first, again, other = (stack.refit(layer, store, store.test_points, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", [*stack.LAYERS, *SLOW])
def test_one_network_and_few_samples_are_enough(scope, name):
    store = make_store(7)  # three subjects to learn from
    one = dataclasses.replace(store, points=store.points[:1], test_points=store.test_points[:1])
    layer = scope["layers"][name]
    points = stack.refit(layer, one, one.test_points, 0)
    assert points.shape == (20, 106, 3) and np.isfinite(points).all()
    assert np.isfinite(stack.cross_fit(layer, one, 0)).all()
    assert stack.refit(layer, one, one.test_points[:, :, :0], 0).shape == (0, 106, 3)


def test_stack_store_round_trip(tmp_path, answers):
    store = make_store()
    saved = stack.StackStore(
        np.array(list(answers)),
        store.samples,
        np.stack(list(answers.values())),
        store.test_samples,
        np.stack([store.test_points.mean(axis=(0, 1))] * len(answers)),
    )
    saved.save(tmp_path / "stack.npz")
    loaded = stack.load_stack(tmp_path / "stack.npz")
    for name, value in vars(saved).items():
        np.testing.assert_array_equal(getattr(loaded, name), value)
