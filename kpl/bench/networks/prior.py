"""What a shape prior would be worth: answers projected on the principal components of the training shapes (as in active
shape models, Cootes et al. 1995), the number of components chosen on other subjects than those that are scored."""

import numpy as np
from sklearn.model_selection import GroupKFold

from kpl import score

RANKS = (5, 10, 20, 30, 40, 60, 80, 120, 200)
GROUPS = 5


def refined_errors(
    points: np.ndarray, truth: np.ndarray, subjects: np.ndarray, training_shapes: np.ndarray
) -> tuple[np.ndarray, list[int]]:
    """NME (H,) of answers (H, 106, 3) after the projection, and the ranks that were chosen, one a group of subjects."""
    mean, scale = training_shapes.mean(axis=0), training_shapes.std(axis=0) + 1e-4
    ranks = [rank for rank in RANKS if rank < len(training_shapes)]
    components = np.linalg.svd(
        ((training_shapes - mean) / scale).reshape(len(training_shapes), -1), full_matrices=False
    )[2]
    residuals = ((points - mean) / scale).reshape(len(points), -1)
    errors = np.stack(
        [
            score.nme(mean + scale * (residuals @ components[:rank].T @ components[:rank]).reshape(truth.shape), truth)
            for rank in ranks
        ]
    )  # (ranks, H)
    refined, chosen = np.empty(len(points)), []
    for others, group in GroupKFold(min(GROUPS, len(np.unique(subjects)))).split(points, groups=subjects):
        best = int(errors[:, others].mean(axis=1).argmin())
        refined[group] = errors[best, group]
        chosen.append(ranks[best])
    return refined, chosen
