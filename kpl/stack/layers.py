"""Second layers: from K networks' predictions of a sample to one better shape.

All have one signature, fit on samples with truth and predict new ones:

    layer(points (K, N, 106, 3), truth (N, 106, 3), subjects (N,), new_points (K, M, 106, 3), seed) -> (M, 106, 3)

The trees and the neural head stand in 04_stack, where they are told (kpl.stack.notebook reads them there).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import cpu_count
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from kpl.landmarks import COUNT, mirror_points
from kpl.stack import averages
from kpl.stack.averages import fit_weights, weighted_average

SecondLayer = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]

ALPHAS = np.logspace(0, 5, 11)  # ridge penalties tried, for features in units of the truth's spread
DIRECTIONS = 300  # principal components that ridge sees: its penalty silences the rest
BLENDED = ("ridge", "lightgbm", "neural")  # whose mean is one more layer, "blend"


class Said(NamedTuple):
    """What K networks say of N samples, in units of the truth's spread in each of the 318 coordinates."""

    average: np.ndarray  # (N, 318) the weighted mean, less the truth's mean
    blocks: np.ndarray  # (K + 1, N, 318) the same, then how far each network departs from it; single precision

    @property
    def tokens(self) -> np.ndarray:
        """(N, 106, 3 K + 3): a landmark's average, and the departures from it."""
        return np.concatenate([block.reshape(-1, COUNT, 3) for block in self.blocks], axis=2)


Learner = Callable[[Said, np.ndarray, np.ndarray, Said, int], np.ndarray]


def on_weighted_mean(learn: Learner) -> SecondLayer:
    """The second layer that adds to the weighted mean what `learn` makes of the same predictions.

    learn(seen, residual (N, 318), subjects (N,), new, seed) -> (M, 318), the new samples' residuals: truth minus
    weighted mean, in units of the truth's spread. Where networks differ much, what is left to learn from few subjects
    is then small, and knowing nothing gives the weighted mean.
    """

    @threadpool_limits.wrap(limits=1)  # on matrices this small a second thread waits more than it works
    def layer(points, truth, subjects, new_points, seed):
        weights, center, unit = fit_weights(points, truth), truth.mean(axis=0), np.maximum(truth.std(axis=0), 1e-12)
        seen, new = (_said(part, weights, center, unit) for part in (points, new_points))
        residual = ((truth - center) / unit).reshape(seen.average.shape) - seen.average
        added = learn(seen, residual, subjects, new, seed)
        return center + (new.average + added).reshape(-1, *center.shape) * unit

    return layer


def with_mirrored(layer: SecondLayer) -> SecondLayer:
    """The layer that learns from every sample's mirror image too."""

    def both(points, truth, subjects, new_points, seed):
        points, truth = (np.concatenate([part, mirror_points(part)], axis=-3) for part in (points, truth))
        return layer(points, truth, np.concatenate([subjects, subjects]), new_points, seed)

    return both


def _said(points: np.ndarray, weights: np.ndarray, center: np.ndarray, unit: np.ndarray) -> Said:
    average = weighted_average(points, weights)
    blocks = np.empty((len(points) + 1, *average.shape), dtype=np.float32)
    blocks[0] = (average - center) / unit
    for block, one in zip(blocks[1:], points):
        block[:] = (one - average) / unit
    return Said(((average - center) / unit).reshape(len(average), -1), blocks.reshape(*blocks.shape[:2], -1))


def whole_face(seen: Said, new: Said, components: int) -> tuple[np.ndarray, np.ndarray]:
    """The leading principal components of all that all networks say of all landmarks: (N, C) and (M, C). The search for
    them is randomised (Halko, Martinsson, Tropp 2011) where there are many features: their covariance is never made."""
    features, new_features = (np.concatenate(said.blocks, axis=1) for said in (seen, new))
    pca = PCA(min(components, *features.shape), random_state=0).fit(features)
    return pca.transform(features), pca.transform(new_features)


@on_weighted_mean
def ridge(seen: Said, residual: np.ndarray, subjects: np.ndarray, new: Said, seed: int) -> np.ndarray:
    """A linear model of the whole face: every coordinate from all that the networks say of all landmarks.

    Networks err in ways of the whole face (too long, too flat), which no landmark on its own shows. One penalty for
    all, chosen by cross-validation over subjects.
    """
    features, new_features = whole_face(seen, new, DIRECTIONS)
    splits = list(GroupKFold(min(5, len(set(subjects)))).split(features, groups=subjects))
    model = RidgeCV(ALPHAS, scoring="neg_mean_squared_error", cv=splits).fit(features, residual)
    return model.predict(new_features)


def averaging(weights_of: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> SecondLayer:
    """The second layer that averages the networks with the weights (K,) of weights_of(points, truth)."""
    return lambda points, truth, subjects, new_points, seed: weighted_average(new_points, weights_of(points, truth))


LAYERS: dict[str, SecondLayer] = {
    "mean": averaging(averages.equal_weights),
    "single": averaging(averages.single_weights),
    "weighted": averaging(fit_weights),
    "ridge": ridge,
}


def blended(answers: dict[str, np.ndarray]) -> np.ndarray:
    """The mean of what the layers of BLENDED answer: they err differently. answers: {layer: (N, 106, 3)}."""
    return np.mean([answers[name] for name in BLENDED], axis=0)


def in_threads(one: Callable[[int], Any], numbers: range, what: str) -> list[Any]:
    """one(number) of each, as many side by side as there are cores, each on one thread.

    Two models with a thread each are twice as fast as one with two, and the same on every machine.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(cpu_count()) as pool:
            return list(tqdm(pool.map(one, numbers), what, len(numbers), leave=False))
    finally:
        torch.set_num_threads(threads)
