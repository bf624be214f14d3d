"""Whether predicted spreads can be believed once a factor, learned on other subjects, has put their scale right."""

import numpy as np
from sklearn.model_selection import GroupKFold

GROUPS = 5


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def calibrated(predicted: np.ndarray, distance: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Predicted errors (H, 106), RMS, times one factor for each group of subjects: real over predicted RMS of all
    others.

    distance: (H, 106) real errors. A network's errors on new subjects are not those it learned its spread from, and the
    factor is the one number that this takes (as temperature scaling, Guo et al. 2017). A single subject stays as it is.
    """
    groups = min(GROUPS, len(np.unique(subjects)))
    if groups < 2:
        return predicted
    scaled = np.empty_like(predicted)
    for others, group in GroupKFold(groups).split(predicted, groups=subjects):
        scaled[group] = predicted[group] * rms(distance[others]) / rms(predicted[others])
    return scaled
