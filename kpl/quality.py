"""Which crops to distrust."""

import numpy as np
import pandas as pd

from kpl.faces import COLUMNS, VIEWS

_NUMBERS = ["score", "across", "down", "size"]
_SMALLEST_SPREAD = 0.02  # of a score, or of a picture's width: less than this is never odd


def by_picture(table: pd.DataFrame) -> pd.DataFrame:
    """One row a picture of a face store's table, the most suspicious first.

    Columns row (in the store), sample, view, status, score, x, y, side, width, height, across, down, size (the
    square's centre and side in parts of the picture) and suspicion: infinite unless the status is ok, else by how
    many robust spreads (1.4826 times the median absolute deviation, within its view) the picture stands off: its
    score to the low side, its square to any.
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
    off = pictures[pictures["status"] == "ok"].groupby("view")[_NUMBERS].transform(_robust_distance)
    off["score"] = -off["score"]
    off[["across", "down", "size"]] = off[["across", "down", "size"]].abs()
    pictures["suspicion"] = off.max(axis=1).reindex(pictures.index, fill_value=np.inf)
    order = ["row", "sample", "view", *COLUMNS, "across", "down", "size", "suspicion"]
    return pictures.sort_values(["suspicion", "sample", "view"], ascending=[False, True, True])[order]


def _robust_distance(values: pd.Series) -> pd.Series:
    off = values - values.median()
    return off / max(1.4826 * off.abs().median(), _SMALLEST_SPREAD)
