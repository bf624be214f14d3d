import numpy as np
import pytest

from kpl.stack import choose, nested_choice

SUBJECTS = np.arange(100) // 5


def noisy(errors: np.ndarray, ratio: float, noise: float = 0.0, seed: int = 1) -> np.ndarray:
    """Errors (N,) with exactly this ratio of mean to `errors`, and noise of its own in each."""
    drawn = np.random.default_rng(seed).normal(0, noise, len(errors)) if noise else np.zeros(len(errors))
    return ratio * errors + drawn - drawn.mean()


@pytest.fixture
def errors() -> dict[str, np.ndarray]:
    """One weak network of two: the plain mean is 14 % worse than the better one, which the weighted mean is too."""
    base = np.random.default_rng(0).uniform(0.03, 0.05, 100)
    return {"mean": 1.14 * base, "single": base, "weighted": 1.001 * base, "ridge": noisy(base, 1.0, 0.01)}


def test_without_a_sure_gain_the_better_of_weighted_mean_and_best_network_stands(errors):
    choice = choose(errors, SUBJECTS)
    assert choice.name == "single" and "no second layer surely beats it" in choice.reason
    assert choose(errors | {"weighted": 0.99 * errors["single"]}, SUBJECTS).name == "weighted"


def test_a_layer_that_only_beats_the_plain_mean_is_not_chosen(errors):
    assert choose(errors | {"greedy": noisy(errors["mean"], 0.95)}, SUBJECTS).name == "single"


def test_a_sure_gain_is_not_turned_down_for_a_ridge_that_gains_nothing(errors):
    """Ridge is not surely worse than a layer that is surely better than all that could be fallen back on."""
    surely = {"lightgbm": noisy(errors["single"], 0.98)}
    unsure = {"ridge": noisy(errors["single"], 0.99, 0.01)}
    choice = choose(errors | unsure | surely, SUBJECTS)
    assert choice.name == "lightgbm" and "beat single" in choice.reason
    assert "0.980 of the out-of-fold error of single" in choice.reason


def test_a_layer_that_does_not_surely_beat_a_ridge_that_does_is_not_chosen(errors):
    ridge = {"ridge": 0.9 * errors["single"]}
    within = {"lightgbm": noisy(ridge["ridge"], 0.9997, 0.002)}  # lower, but within its noise
    choice = choose(errors | ridge | within, SUBJECTS)
    assert choice.name == "ridge" and "none surely beats ridge" in choice.reason
    beyond = {"neural": 0.95 * ridge["ridge"]}
    choice = choose(errors | ridge | within | beyond, SUBJECTS)
    assert choice.name == "neural" and "surely beat ridge" in choice.reason
    assert set(nested_choice(errors | ridge | within | beyond, SUBJECTS % 5, SUBJECTS)) == {"neural"}


def test_few_subjects_are_sure_of_nothing(errors):
    better = errors | {"lightgbm": 0.5 * errors["single"]}
    assert choose(better, np.arange(100) // 25).name == "single"  # 4 subjects
    assert choose(better, np.arange(100) // 20).name == "lightgbm"  # 5


def test_the_nested_choice_does_not_know_its_own_group(errors):
    """A layer that is good only for group 0: the others let it win there no more."""
    groups = SUBJECTS % 5
    lucky = errors | {"lightgbm": np.where(groups == 0, 0.2, 1.001) * errors["single"]}
    names = nested_choice(lucky, groups, SUBJECTS)
    assert set(names[groups == 0]) == {"single"} and lucky["lightgbm"].mean() < errors["single"].mean()
