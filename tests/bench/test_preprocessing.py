import numpy as np
import pandas as pd
import pytest

from bench import preprocessing


def test_overlaps_are_those_of_squares():
    squares = np.array([[0, 0, 1, 1], [0, 0, 0.5, 0.5], [0.5, 0.5, 1.5, 1.5], [2, 2, 3, 3]])
    assert preprocessing.iou_with_crop(squares) == pytest.approx([1, 1 / 4, 1 / 7, 0])


@pytest.mark.slow
def test_all_parts_measure_something(tiny_captures, tmp_path):
    options = ["--captures", str(tiny_captures), "--samples", "6", "--rounds", "1", "--pictures", "30", "--jobs", "1"]
    preprocessing.main([*options, "--parts", "speed", "quality", "memory", "--out", str(tmp_path / "found.csv")])
    speed, quality, memory = (
        pd.read_csv(tmp_path / f"found_{part}.csv", comment="#") for part in ("speed", "quality", "memory")
    )
    assert speed["what"].tolist() == ["read only", "detect only", "whole"] and (speed["pictures_per_s"] > 0).all()
    assert 0.2 < speed["of_the_slower"].iloc[2] < 2
    assert quality["ok"].tolist() == [1.0, 1.0, 1.0] and (quality["mean_iou"] > 0.7).all()
    assert (memory["main_process_mib"] > 50).all()
