"""Folds by subject: made once, saved, and read by everybody after."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from kpl.errors import BadInput
from kpl.files import atomic


def load_or_make(file: Path, subjects: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each sample, from `file` if it is there; else made by GroupKFold over subjects and saved there.

    subjects: (N,) the subject of each sample. Returns (N,) integers 0..folds-1; a subject has one fold.
    GroupKFold moves most subjects when one is added or dropped, so the file is never made again: raises BadInput if
    it does not know a subject or holds another number of folds.
    """
    if not file.exists():
        if len(set(subjects)) < folds:
            raise BadInput(
                f"{len(set(subjects))} subjects cannot make {folds} folds: ask for fewer folds or add captures."
            )
        _save(file, subjects, folds, seed)
    table = read(file)
    if table["fold"].max() + 1 != folds:
        raise BadInput(
            f"{file} holds {table['fold'].max() + 1} folds, not {folds}: ask for as many, or use another runs folder."
        )
    unknown = sorted(set(subjects) - set(table["subject"]))
    if unknown:
        raise BadInput(
            f"{file} does not know subject {unknown[0]}: it was made for other captures; use another runs folder."
        )
    return table.set_index("subject")["fold"].loc[subjects].to_numpy()


def _save(file: Path, subjects: np.ndarray, folds: int, seed: int) -> None:
    subjects = np.sort(np.asarray(subjects, dtype=str))
    fold = np.empty(len(subjects), dtype=int)
    for number, (_, held_out) in enumerate(
        GroupKFold(folds, shuffle=True, random_state=seed).split(subjects, groups=subjects)
    ):
        fold[held_out] = number
    with atomic(file) as temporary:
        pd.DataFrame({"subject": subjects, "fold": fold}).drop_duplicates().to_csv(temporary, index=False)


def read(file: Path) -> pd.DataFrame:
    """The saved table, columns subject and fold. Raises BadInput if there is none or it is damaged."""
    if not file.exists():
        raise BadInput(f"{file} is missing: train a fold first (02_train_fold).")
    try:
        table = pd.read_csv(file, dtype={"subject": str, "fold": int})
        whole = list(table.columns) == ["subject", "fold"] and table["subject"].is_unique and len(table)
    except ValueError:
        whole = False
    if not whole:
        raise BadInput(
            f"{file} is not a table of one fold a subject: delete it and the runs beside it, and train again."
        )
    return table
