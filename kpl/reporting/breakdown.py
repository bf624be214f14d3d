"""Where errors come from: by region, expression, age, and as seen by each of the three cameras."""

from pathlib import Path

import numpy as np
import pandas as pd

from kpl import compare, score
from kpl.errors import BadInput
from kpl.landmarks import EYE_CENTERS, GROUPS

YAW = {"left view": -40.0, "middle view": 0.0, "right view": 40.0}  # degrees: where the cameras stand, about
AGES = (0, 25, 35, 50, 65, 200)  # years at which a new group begins


def by_region(pred: np.ndarray, gt: np.ndarray, subjects: np.ndarray) -> pd.DataFrame:
    """One row a region of the face: mean landmark error in eye distances with its interval. (N, 106, 3) twice, (N,)."""
    errors = score.landmark_errors(pred, gt)
    return _rows({region: (errors[:, landmarks].mean(axis=1), subjects) for region, landmarks in GROUPS.items()})


def by_view(pred: np.ndarray, gt: np.ndarray, subjects: np.ndarray) -> pd.DataFrame:
    """One row a camera: the error as it would be seen in its picture, that is, without its part along the line of
    sight; and that part of the middle camera, the depth."""
    left, right = EYE_CENTERS
    offset = (score.align(pred, gt) - gt) / np.linalg.norm(gt[:, left] - gt[:, right], axis=1)[:, None, None]
    rows = {}
    for name, degrees in YAW.items():
        angle = np.radians(degrees)
        across = offset[..., 0] * np.cos(angle) - offset[..., 2] * np.sin(angle)
        rows[name] = np.hypot(across, offset[..., 1]).mean(axis=1), subjects
    return _rows(rows | {"depth of the middle view": (np.abs(offset[..., 2]).mean(axis=1), subjects)})


def by_group(nme: np.ndarray, groups: np.ndarray, subjects: np.ndarray) -> pd.DataFrame:
    """One row a group, such as an expression: mean NME with its interval. All (N,)."""
    return _rows({group: (nme[groups == group], subjects[groups == group]) for group in pd.unique(np.sort(groups))})


def age_groups(years: np.ndarray) -> np.ndarray:
    """The group of each age (N,), as text that sorts by age."""
    names = [f"{low} to {high - 1}" for low, high in zip(AGES, AGES[1:])]
    names[0], names[-1] = f"below {AGES[1]}", f"{AGES[-2]} and older"
    order = {name: f"{i} · {name}" for i, name in enumerate(names)}
    return np.array([order[names[int(np.searchsorted(AGES, year, side="right")) - 1]] for year in years])


def ages(root: Path) -> dict[str, float]:
    """{subject: years} from subjects.csv of a captures folder; {} where there is none, as with the competition's data.

    Raises BadInput if the file has other columns.
    """
    file = root / "subjects.csv"
    if not file.is_file():
        return {}
    try:
        table = pd.read_csv(file, dtype={"subject": str, "age": float})
        return dict(zip(table["subject"], table["age"]))
    except (KeyError, ValueError) as error:
        raise BadInput(f"{file} must have the columns subject and age ({error}): mend it, or move it away.") from None


def _rows(parts: dict[str, tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    rows = []
    for name, (values, subjects) in parts.items():
        found = compare.interval(values, subjects)
        rows.append((name, len(values), len(set(subjects)), found.mean, found.low, found.high))
    return pd.DataFrame(rows, columns=["group", "samples", "subjects", "error", "low", "high"])
