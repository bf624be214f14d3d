"""The benchmark of training: what it reports, and that every contender trains."""

import numpy as np
import pandas as pd
import pytest

from bench import training


def test_ratios_are_of_what_stood_side_by_side():
    """The machine was twice as slow in the second turn, for all."""
    found = pd.DataFrame(
        [
            {"contender": name, "turn": turn, "rate": rate * speed, "loss": 2.0 + turn, "wait": 0.01}
            for turn, speed in enumerate((1.0, 0.5, 1.0))
            for name, rate in (("bare step", 100.0), ("our loop", 96.0), ("textbook", 48.0))
        ]
    )
    table = training.table(found).set_index("contender")
    assert table["of bare step"].to_dict() == {"bare step": 1.0, "our loop": 0.96, "textbook": 0.48}
    assert table.loc["textbook", "of our loop"] == 0.5 and table.loc["our loop", "wait %"] == 1.0
    assert table.loc["our loop", "final loss"] == 3.0 and table.loc["our loop", "sd"] == 1.0


@pytest.mark.slow
def test_every_contender_trains(tiny_faces, tmp_path):
    pytest.importorskip("lightning", reason="an extra requirement: requirements-bench.txt")
    out = tmp_path / "training.csv"
    options = ["--backbone", "test_resnet", "--image-size", "32", "--epochs", "2", "--turns", "2", "--out", str(out)]
    training.main(["--faces", str(tiny_faces), *options])
    table = pd.read_csv(out, comment="#").set_index("contender")
    assert list(table.index) == list(training.CONTENDERS)
    losses = table["final loss"][["our loop", "textbook", "lightning"]]
    assert (table["samples/s"] > 0).all() and np.isfinite(losses).all() and losses.max() < 1.5 * losses.min()
