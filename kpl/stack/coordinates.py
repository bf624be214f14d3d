"""Two methods compared coordinate by coordinate: 106 landmarks times x, y, z."""

import numpy as np
import pandas as pd

from kpl import compare, score
from kpl.landmarks import COUNT, NAMES

AXES = ("x", "y", "z")


def side_by_side(
    a: np.ndarray, b: np.ndarray, gt: np.ndarray, subjects: np.ndarray, names: tuple[str, str], seed: int = 0
) -> pd.DataFrame:
    """For each coordinate, which of two methods' predictions (N, 106, 3) is better, and by how much: 318 rows.

    Columns: landmark, name, axis; each method's mean error in eye distances, called by its name; gain, the first's
    minus the second's, with low and high, its 95 % interval over subjects; better: the name of the better one, "" where
    the interval holds zero. 318 such intervals are wrong about 16 times by chance: read the whole, not the single one.
    """
    errors = [np.abs(score.offsets(points, gt)).reshape(len(gt), -1) for points in (a, b)]  # (N, 318)
    difference = errors[0] - errors[1]
    low, high = compare.intervals_of_columns(difference, subjects, seed=seed)
    table = {
        "landmark": np.repeat(np.arange(COUNT), len(AXES)),
        "name": np.repeat(NAMES, len(AXES)),
        "axis": np.tile(AXES, COUNT),
        names[0]: errors[0].mean(axis=0),
        names[1]: errors[1].mean(axis=0),
        "gain": difference.mean(axis=0),
        "low": low,
        "high": high,
        "better": np.select([high < 0, low > 0], names, ""),
    }
    return pd.DataFrame(table)
