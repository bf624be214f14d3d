"""Folds by subject: made once, saved, and read by everybody after."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from kpl.config import TrainFold
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import write_csv


def hold_out(p: TrainFold, store: FaceStore) -> np.ndarray:
    """(N,) whether a sample with truth belongs to the fold that is held out. Folds are those of <runs>/folds.csv."""
    fold = np.full(len(store.table), -1)
    subjects = store.table["subject"].to_numpy(dtype=str)[store.has_truth]
    fold[store.has_truth] = load_or_make(p.runs / "folds.csv", subjects, p.folds, p.seed)
    if not (store.known & (fold != p.fold)).any() or not (fold == p.fold).any():
        raise BadInput(f"{store.folder}: fold {p.fold} of {p.folds} leaves no sample to learn from, or to hold out.")
    return fold == p.fold


def load_or_make(file: Path, subjects: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each sample, from `file` if it is there; else made by GroupKFold over subjects and saved there.

    subjects: (N,) the subject of each sample. Returns (N,) integers 0..folds-1; a subject has one fold.
    GroupKFold moves most subjects when one is added or dropped, so the file is never made again: raises BadInput if
    it does not know a subject or holds another number of folds.
    """
    if not file.exists():
        write_csv(file, _made(np.sort(np.asarray(subjects, dtype=str)), folds, seed))
    table = read(file)
    held = table["fold"].max() + 1
    if held != folds:
        raise BadInput(f"{file} holds {held} folds, not {folds}: ask for as many, or use another runs folder.")
    return of_subjects(file, table, subjects)


def _made(subjects: np.ndarray, folds: int, seed: int) -> pd.DataFrame:
    count = len(set(subjects))
    if count < folds or folds < 2:
        remedy = "take from 2 folds to as many as there are subjects, or add captures."
        raise BadInput(f"{count} subjects with truth cannot make {folds} folds: {remedy}")
    fold = np.empty(len(subjects), dtype=int)
    splits = GroupKFold(folds, shuffle=True, random_state=seed).split(subjects, groups=subjects)
    for number, (_, held_out) in enumerate(splits):
        fold[held_out] = number
    return pd.DataFrame({"subject": subjects, "fold": fold}).drop_duplicates()


def read(file: Path) -> pd.DataFrame:
    """The saved table, columns subject and fold. Raises BadInput if there is none or it is damaged."""
    if not file.exists():
        raise BadInput(f"{file} is missing: train a fold first (02_train_fold).")
    try:
        table = pd.read_csv(file, dtype={"subject": str, "fold": int}, keep_default_na=False)
    except ValueError:
        table = pd.DataFrame()
    if list(table.columns) != ["subject", "fold"] or not table["subject"].is_unique or table.empty:
        raise BadInput(f"{file} is not a table of one fold a subject: delete it and the runs beside it, train again.")
    return table


def of_subjects(file: Path, table: pd.DataFrame, subjects: np.ndarray) -> np.ndarray:
    """The fold (N,) that the file's table gives to each of the subjects (N,). Raises BadInput if it knows one not."""
    fold = pd.Series(subjects).map(table.set_index("subject")["fold"])
    if fold.isna().any():
        unknown = np.asarray(subjects)[fold.isna()][0]
        raise BadInput(f"{file} does not know subject {unknown}: it is of other captures; use another runs folder.")
    return fold.to_numpy(dtype=int)
