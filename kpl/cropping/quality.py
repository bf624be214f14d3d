"""Which crops to distrust."""

import numpy as np
import pandas as pd

from kpl.cropping.facestore import COLUMNS, VIEWS

_NUMBERS = ["score", "across", "down", "size", "lean"]
_SMALLEST_SPREAD = 0.02  # of a score, a picture's width, or a quarter turn: less than this is never odd
_NOTED = 5.0  # the least suspicion of a picture that is ok with a remark, such as several faces


def by_picture(table: pd.DataFrame) -> pd.DataFrame:
    """One row a picture of a face store's table, the most suspicious first.

    Columns row (in the store), sample, view, those of the table, across, down, size (the square's centre and side in
    parts of the picture), lean (the roll in quarter turns) and suspicion: infinite unless the status is ok, else by how
    many robust spreads (1.4826 times the median absolute deviation, within its view) the picture stands off: its score
    to the low side, its square and its roll to any.
    """
    parts = [
        table[["sample"]].assign(
            row=np.arange(len(table)), view=view, **{name: table[f"{name}{view}"] for name in COLUMNS}
        )
        for view in VIEWS
    ]
    pictures = pd.concat(parts, ignore_index=True)
    pictures["across"] = (pictures["x"] + pictures["side"] / 2) / pictures["width"]
    pictures["down"] = (pictures["y"] + pictures["side"] / 2) / pictures["height"]
    pictures["size"] = pictures["side"] / pictures["width"]
    pictures["lean"] = pictures["roll"] / 90
    fine = pictures["status"] == "ok"
    off = pictures[fine].groupby("view")[_NUMBERS].transform(_robust_distance)
    off["score"] = -off["score"]
    off[_NUMBERS[1:]] = off[_NUMBERS[1:]].abs()
    suspicion = off.max(axis=1).mask(pictures["reason"][fine] != "", lambda each: each.clip(lower=_NOTED))
    pictures["suspicion"] = suspicion.reindex(pictures.index, fill_value=np.inf)
    order = ["row", "sample", "view", *COLUMNS, "across", "down", "size", "lean", "suspicion"]
    return pictures.sort_values(["suspicion", "sample", "view"], ascending=[False, True, True])[order]


def outcomes(table: pd.DataFrame) -> pd.DataFrame:
    """How many pictures of each view came to which status and why: rows (status, reason), the frequent ones first."""
    pictures = by_picture(table)
    reason = pictures["reason"].str.replace(r"\(.*\)|\d+", "", regex=True)  # alike ones count together
    counts = pictures.groupby(["status", reason, "view"]).size().unstack("view", fill_value=0)
    counts = counts.assign(all=counts.sum(axis=1)).sort_values("all", ascending=False)
    return counts.rename(columns={view: f"view {view}" for view in VIEWS})


def _robust_distance(values: pd.Series) -> pd.Series:
    off = values - values.median()
    return off / max(1.4826 * off.abs().median(), _SMALLEST_SPREAD)
