import numpy as np
import pandas as pd
import pytest

from kpl.cropping.quality import by_picture, outcomes


@pytest.fixture
def table():
    """Ten samples that are all alike."""
    rows = 10
    columns = {"sample": [f"00001/{i:02}" for i in range(rows)]}
    for view in range(3):
        columns |= {
            f"status{view}": ["ok"] * rows,
            f"reason{view}": [""] * rows,
            f"score{view}": 0.8,
            f"roll{view}": 0.0,
            f"picture{view}": "",
            f"x{view}": 40.0,
            f"y{view}": 60.0,
            f"side{view}": 20.0,
            f"width{view}": 100.0,
            f"height{view}": 200.0,
        }
    return pd.DataFrame(columns)


def test_every_picture_has_a_row(table):
    pictures = by_picture(table)
    assert len(pictures) == 30 and set(pictures["view"]) == {0, 1, 2}
    assert pictures["across"].eq(0.5).all() and pictures["down"].eq(0.35).all() and pictures["size"].eq(0.2).all()
    assert pictures["suspicion"].abs().max() < 1e-9


@pytest.mark.parametrize(
    "name, value", [("score", 0.35), ("x", 70.0), ("y", 150.0), ("side", 60.0), ("side", 5.0), ("roll", 30.0)]
)
def test_the_odd_one_comes_first(table, name, value):
    table.loc[6, f"{name}2"] = value
    first = by_picture(table).iloc[0]
    assert (first["row"], first["view"]) == (6, 2) and first["suspicion"] > 3


def test_a_high_score_is_not_odd(table):
    table.loc[6, "score2"] = 1.0
    assert by_picture(table)["suspicion"].max() < 1e-9


def test_what_is_not_ok_is_most_suspicious(table):
    table.loc[3, "side0"] = 90.0
    table.loc[7, "status1"] = "fallback"
    table.loc[8, ["status1", "reason1", "x1", "y1", "side1", "width1", "height1"]] = [
        "excluded",
        "missing",
        *[np.nan] * 5,
    ]
    pictures = by_picture(table)
    assert pictures["row"].tolist()[:3] == [7, 8, 3]
    assert np.isinf(pictures["suspicion"]).sum() == 2


def test_a_remark_is_more_suspicious_than_a_plain_picture(table):
    table.loc[4, "reason1"] = "the main one of 2 faces"
    first = by_picture(table).iloc[0]
    assert (first["row"], first["view"]) == (4, 1) and np.isfinite(first["suspicion"])


def test_outcomes_are_counted_by_reason(table):
    table.loc[3, ["status0", "reason0"]] = ["fallback", "turned by 90 degrees against the others"]
    table.loc[5, ["status2", "reason2"]] = ["fallback", "turned by 270 degrees against the others"]
    counts = outcomes(table)
    assert counts["all"].tolist() == [28, 2] and counts.index[0] == ("ok", "")
    assert counts.iloc[1].tolist() == [1, 0, 1, 2]
