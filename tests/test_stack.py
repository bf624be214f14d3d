import dataclasses

import numpy as np
import pytest

from kpl import oof, score, stack
from kpl.errors import BadInput
from kpl.landmarks import MEAN_SHAPE
from kpl.reporting import results
from kpl.stacking import neural_layer, second_layers
from kpl.stacking.second_layers import ridge

LEARNT = ["ridge", "lightgbm", "neural"]
AVERAGES = ["weighted", "regional", "greedy"]


def make_store(subjects: int = 24, bias: bool = True, seed: int = 0) -> oof.OofStore:
    """Low-rank shapes; two networks that see part of each subject, a shared error that their answers give away.

    With `bias` the networks say 0.6 of what departs from the mean shape, and y is 0.01 too high: both can be learnt.
    """
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(subjects), 5)
    basis = rng.normal(0, 0.012, (6, 106, 3))
    shapes = np.tensordot(
        rng.normal(size=(subjects, 6))[subject] + 0.4 * rng.normal(size=(len(subject), 6)), basis, axes=1
    )
    shared = rng.normal(0, 0.003, shapes.shape)
    factor, shift = (0.6, np.array([0, 0.01, 0])) if bias else (1.0, np.zeros(3))
    points = MEAN_SHAPE + factor * shapes + shift + shared + rng.normal(0, 0.004, (2, *shapes.shape))
    names = np.array([f"{s:05d}" for s in subject])
    samples = np.array([f"{name}/0{1 + i % 5}" for i, name in enumerate(names)])
    train = subject < subjects - 4
    return oof.OofStore(
        "",
        np.array(["large", "small"]),
        np.array([0, 0]),
        np.array(["centerface", "centerface"]),
        samples[train],
        names[train],
        subject[train] % 4,
        (MEAN_SHAPE + shapes)[train],
        points[:, train].astype(np.float32),
        samples[~train],
        names[~train],
        np.stack([points[:, ~train]] * 2, axis=1).astype(np.float32),  # two folds that agree
    )


@pytest.fixture(scope="module")
def answers() -> dict[str, np.ndarray]:
    store = make_store()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neural_layer, "STEPS", 60)  # enough for so few samples
        patch.setattr(second_layers, "ROUNDS", 25)
        return {name: stack.cross_fit(layer, store, seed=0) for name, layer in stack.LAYERS.items()}


def test_a_bias_that_can_be_learnt_is_learnt(answers):
    store = make_store()
    nme = {name: score.nme(points, store.truth).mean() for name, points in answers.items()}
    for name in LEARNT:
        assert nme[name] < 0.85 * nme["mean"], nme


def test_the_choice_is_the_best_of_those_that_surely_beat_the_mean(answers):
    store = make_store()
    errors = {name: score.nme(points, store.truth) for name, points in answers.items()}
    choice = stack.choose(errors, store.subjects)
    assert choice.name == min(errors, key=lambda name: errors[name].mean()) and choice.name in LEARNT
    assert choice.name in choice.reason


def test_without_a_sure_gain_the_mean_is_chosen():
    rng = np.random.default_rng(0)
    errors = {"mean": rng.uniform(0.03, 0.05, 100)}
    errors["ridge"] = errors["mean"] + rng.normal(-0.0001, 0.01, 100)  # lower, but within its noise
    errors["ridge"] -= errors["ridge"].mean() - errors["mean"].mean() + 0.0001
    choice = stack.choose(errors, np.arange(100) // 5)
    assert choice.name == "mean" and "No second layer" in choice.reason


def test_the_blend_is_the_mean_of_its_layers():
    answers = {name: np.full((2, 106, 3), float(i)) for i, name in enumerate((*stack.BLENDED, "neural"))}
    np.testing.assert_array_equal(stack.blended(answers), np.full((2, 106, 3), 1.0))
    assert stack.layer_called("ridge") is ridge
    with pytest.raises(KeyError):
        stack.layer_called("best")


def test_a_layer_that_beats_the_mean_but_not_ridge_is_not_chosen():
    rng = np.random.default_rng(0)
    mean_errors = rng.uniform(0.03, 0.05, 100)
    errors = {"mean": mean_errors, "ridge": 0.9 * mean_errors}
    errors["lightgbm"] = errors["ridge"] + rng.normal(0, 0.002, 100)
    errors["lightgbm"] -= errors["lightgbm"].mean() - errors["ridge"].mean() + 0.00001  # lower, but within its noise
    subjects = np.arange(100) // 5
    choice = stack.choose(errors, subjects)
    assert choice.name == "ridge" and "none surely beats it" in choice.reason
    assert stack.choose(errors | {"neural": 0.95 * errors["ridge"]}, subjects).name == "neural"
    nested = stack.nested_choice(errors | {"neural": 0.95 * errors["ridge"]}, subjects % 5, subjects)
    assert set(nested) == {"neural"}


def test_every_group_has_its_share_of_every_fold_and_whole_subjects():
    store = make_store(44)
    groups = stack.subject_groups(store)
    for subject in np.unique(store.subjects):
        assert len(set(groups[store.subjects == subject])) == 1
    shares = [[(groups[store.folds == fold] == group).sum() for group in range(5)] for fold in range(4)]
    np.testing.assert_array_equal(shares, np.full((4, 5), 10))  # 40 subjects with 5 samples, 20 cells
    np.testing.assert_array_equal(groups, stack.subject_groups(store))


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
    [pytest.param(name, marks=pytest.mark.slow) if name in ("lightgbm", "neural") else name for name in stack.LAYERS],
)
def test_networks_that_learnt_noise_by_heart_leak_nothing(name, monkeypatch):
    """Labels are noise, and the networks of other folds have seen them: still no second layer beats the mean shape."""
    monkeypatch.setattr(second_layers, "ROUNDS", 5)
    monkeypatch.setattr(neural_layer, "STEPS", 30)
    rng = np.random.default_rng(3)
    store, ratios = make_store(bias=False), []
    for _ in range(3):
        subject = np.unique(store.subjects, return_inverse=True)[1]
        noise = rng.normal(0, 0.02, (subject.max() + 1, 106, 3))[subject] + rng.normal(0, 0.005, store.truth.shape)
        features = rng.normal(size=(2, subject.max() + 1, 12))[:, subject] + rng.normal(0, 0.1, (2, len(subject), 12))
        labelled = dataclasses.replace(store, truth=MEAN_SHAPE + noise)
        points = overfitted_networks(labelled.truth, store.folds, features).astype(np.float32)
        labelled = dataclasses.replace(labelled, points=points)
        nme = score.nme(stack.cross_fit(stack.LAYERS[name], labelled, 0), labelled.truth).mean()
        ratios.append(nme / score.nme(results.mean_shape(labelled), labelled.truth).mean())
    assert np.mean(ratios) > 0.999, ratios


@pytest.mark.parametrize("name", [*AVERAGES, "ridge"])
def test_held_out_truth_is_never_fitted(name):
    """The truth of one group of subjects is poisoned: the answers for that group stay as they were."""
    store = make_store(12)
    poisoned = make_store(12)
    held_out = stack.subject_groups(store) == 1
    poisoned.truth[held_out] += 1000
    layer = stack.LAYERS[name]
    np.testing.assert_array_equal(
        stack.cross_fit(layer, poisoned, 0)[held_out], stack.cross_fit(layer, store, 0)[held_out]
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNT)
def test_truth_that_has_nothing_to_do_with_the_predictions_teaches_nothing(name, monkeypatch):
    """Every subject gets another's truth: on average no second layer does better than the mean shape."""
    monkeypatch.setattr(neural_layer, "STEPS", 30)
    monkeypatch.setattr(second_layers, "ROUNDS", 5)
    store = make_store(bias=False)
    ratios = []
    for shift in (1, 6, 11):  # a shift leaves no subject its own truth, as a random permutation may
        other = oof.OofStore(**{**vars(store), "truth": np.roll(store.truth, 5 * shift, axis=0)})
        nme = score.nme(stack.cross_fit(stack.LAYERS[name], other, 0), other.truth).mean()
        ratios.append(nme / score.nme(results.mean_shape(other), other.truth).mean())
    assert np.mean(ratios) > 1, ratios


@pytest.mark.parametrize("name", ["lightgbm", "neural"])
def test_the_same_seed_gives_the_same_answer(name, monkeypatch):
    monkeypatch.setattr(neural_layer, "STEPS", 30)
    monkeypatch.setattr(second_layers, "ROUNDS", 5)
    store = make_store(20)
    layer = stack.LAYERS[name]
    first, again, other = (stack.refit(layer, store, store.test_points, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert name == "neural" or (first != other).any()  # the neural layer may find nothing to add to ridge


@pytest.mark.parametrize("layer", stack.LAYERS.values(), ids=stack.LAYERS)
def test_one_network_and_few_samples_are_enough(layer):
    store = make_store(7)
    one = oof.OofStore(**{**vars(store), "points": store.points[:1], "test_points": store.test_points[:1]})
    points = stack.refit(layer, one, one.test_points, 0)
    assert points.shape == (20, 106, 3) and np.isfinite(points).all()
    assert stack.refit(layer, one, one.test_points[:, :, :0], 0).shape == (0, 106, 3)


def test_a_single_subject_cannot_be_cross_fitted():
    store = make_store(6)
    with pytest.raises(BadInput, match="2 subjects are too few"):
        stack.cross_fit(ridge, store, 0)


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
    loaded = stack.load(tmp_path / "stack.npz")
    for name, value in vars(saved).items():
        np.testing.assert_array_equal(getattr(loaded, name), value)


def test_results_row_and_mean_shape(tmp_path):
    store = make_store()
    nearly = store.truth + np.random.default_rng(0).normal(0, 1e-9, store.truth.shape)
    perfect = results.row("oracle", "oof", nearly, store.truth, store.subjects)
    assert perfect["nme"] == pytest.approx(0, abs=1e-8) and perfect["auc"] == pytest.approx(1, abs=0.02)
    row = results.row("mean_shape", "oof", results.mean_shape(store), store.truth, store.subjects)
    assert row["nme_low"] < row["nme"] < row["nme_high"]
    own = store.folds == 2
    np.testing.assert_allclose(results.mean_shape(store)[own][0], store.truth[~own].mean(axis=0))
