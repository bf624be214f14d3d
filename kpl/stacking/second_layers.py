"""Second layers: from K networks' predictions of a sample to one better shape.

All have one signature, fit on samples with truth and predict new ones:

    layer(points (K, N, 106, 3), truth (N, 106, 3), subjects (N,), new_points (K, M, 106, 3), seed) -> (M, 106, 3)

The learnt ones fit the residual of truth to the mean prediction, weighted as in `weighted`: where networks differ much,
what is left to learn from few subjects is then small, and knowing nothing gives the weighted mean.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import lightgbm
import numpy as np
from sklearn.decomposition import PCA
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from kpl.stacking.averages import (
    fit_regional_weights,
    fit_weights,
    greedy_weights,
    mean_average,
    regional_average,
    weighted_average,
)

COMPONENTS = 24  # principal components that the trees see: errors of the whole face show there
ALPHAS = np.logspace(0, 5, 11)  # ridge penalties tried, for features in units of the truth's spread
DIRECTIONS = 300  # principal components that ridge sees: its penalty silences the rest
KERNEL_GAMMA, KERNEL_PENALTY = 0.3, 0.05  # gamma in units of the faces' mean squared distance from their mean
TREES = {
    "objective": "l2",
    "learning_rate": 0.05,
    "num_leaves": 7,
    "min_data_in_leaf": 20,
    "lambda_l2": 10.0,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
ROUNDS, MAX_BIN = 60, 63


def mean(points: np.ndarray, truth: np.ndarray, subjects: np.ndarray, new_points: np.ndarray, seed: int) -> np.ndarray:
    """The plain mean of the networks: nothing is learnt."""
    return mean_average(new_points)


def weighted(
    points: np.ndarray, truth: np.ndarray, subjects: np.ndarray, new_points: np.ndarray, seed: int
) -> np.ndarray:
    """One non-negative weight a network, summing to one."""
    return weighted_average(new_points, fit_weights(points, truth))


def regional(
    points: np.ndarray, truth: np.ndarray, subjects: np.ndarray, new_points: np.ndarray, seed: int
) -> np.ndarray:
    """One such weight a network and region of the face."""
    return regional_average(new_points, fit_regional_weights(points, truth))


def greedy(
    points: np.ndarray, truth: np.ndarray, subjects: np.ndarray, new_points: np.ndarray, seed: int
) -> np.ndarray:
    """A mean over networks that were selected one after the other, some of them several times."""
    return weighted_average(new_points, greedy_weights(points, truth))


def ridge(points: np.ndarray, truth: np.ndarray, subjects: np.ndarray, new_points: np.ndarray, seed: int) -> np.ndarray:
    """A linear model of the whole face: every coordinate from all that the networks say of all landmarks.

    Networks err in ways of the whole face (too long, too flat), which no landmark on its own shows. One penalty for
    all, chosen by cross-validation over subjects.
    """
    weights, unit = fit_weights(points, truth), _flat(truth).std(axis=0)

    def raw(points: np.ndarray) -> np.ndarray:
        average = _flat(weighted_average(points, weights))
        return np.concatenate([average / unit, *((_flat(one) - average) / unit for one in points)], axis=1)

    seen = raw(points)
    shorten = PCA(min(DIRECTIONS, *seen.shape), svd_solver="covariance_eigh").fit(seen)
    residual = _flat(truth - weighted_average(points, weights)) / unit
    features = shorten.transform(seen)
    splits = list(GroupKFold(min(5, len(set(subjects)))).split(features, groups=subjects))
    with threadpool_limits(1):  # on matrices this small a second thread waits more than it works: three times the time
        model = RidgeCV(ALPHAS, scoring="neg_mean_squared_error", cv=splits).fit(features, residual)
    return _add(new_points, weights, model.predict(shorten.transform(raw(new_points))) * unit)


def kernel(
    points: np.ndarray, truth: np.ndarray, subjects: np.ndarray, new_points: np.ndarray, seed: int
) -> np.ndarray:
    """Kernel ridge (a Gaussian process' mean) on the whole face: faces that look alike to the networks err alike.

    A narrow kernel with a small penalty: on its own it is no better than ridge, but it errs otherwise
    (kpl.stack.blended).
    """
    weights, unit = fit_weights(points, truth), _flat(truth).std(axis=0)
    seen, new = (_flat(weighted_average(part, weights)) / unit for part in (points, new_points))
    center = seen.mean(axis=0)
    size = ((seen - center) ** 2).sum(axis=1).mean()
    model = KernelRidge(alpha=KERNEL_PENALTY, kernel="rbf", gamma=KERNEL_GAMMA / max(size, 1e-12))
    model.fit(seen - center, _flat(truth - weighted_average(points, weights)) / unit)
    return _add(new_points, weights, model.predict(new - center) * unit)


def gradient_boosting(
    points: np.ndarray, truth: np.ndarray, subjects: np.ndarray, new_points: np.ndarray, seed: int
) -> np.ndarray:
    """LightGBM (Ke et al. 2017): small trees for each of the 318 coordinates."""
    weights = fit_weights(points, truth)
    features, new_features = features_of(points, new_points, weights, COMPONENTS)
    residual = _flat(truth - weighted_average(points, weights))

    def one(coordinate: int) -> np.ndarray:
        data = lightgbm.Dataset(
            features[coordinate], residual[:, coordinate], params={"verbosity": -1, "max_bin": MAX_BIN}
        )
        model = lightgbm.train(TREES | {"seed": seed}, data, ROUNDS)
        return model.predict(new_features[coordinate], num_threads=1)

    # Two models with a thread each are twice as fast as one with two, and the same on every machine.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        columns = list(tqdm(pool.map(one, range(len(features))), "lightgbm", len(features), unit="coordinate"))
    return _add(new_points, weights, np.stack(columns, axis=1))


def features_of(
    points: np.ndarray,
    new_points: np.ndarray,
    weights: np.ndarray,
    components: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Standardised features of each coordinate, (318, N, F) and (318, M, F), fitted on the first predictions.

    Of the coordinate itself: the mean prediction, and each network's departure from it. Of the whole face, the same
    for all coordinates: the first `components` principal components of the mean prediction. weights: (K,) of that mean.
    """
    average = _flat(weighted_average(points, weights))
    center = average.mean(axis=0)
    axes = np.linalg.svd(average - center, full_matrices=False)[2][:components]  # (C, 318)

    def raw(points: np.ndarray) -> np.ndarray:
        average = _flat(weighted_average(points, weights))
        own = [average, *(_flat(one) - average for one in points)]
        shared = np.repeat(((average - center) @ axes.T)[None], average.shape[1], axis=0)
        return np.concatenate([np.stack(own, axis=2).transpose(1, 0, 2), shared], axis=2)

    old, new = raw(points), raw(new_points)
    level, spread = old.mean(axis=1, keepdims=True), old.std(axis=1, keepdims=True)
    spread[spread < 1e-12] = 1.0  # a single network never departs from the mean
    return (old - level) / spread, (new - level) / spread


def _flat(points: np.ndarray) -> np.ndarray:
    return points.reshape(len(points), -1)


def _add(points: np.ndarray, weights: np.ndarray, residual: np.ndarray) -> np.ndarray:
    base = weighted_average(points, weights)
    return base + residual.reshape(base.shape)
