"""`bench ensemble` on two tiny networks, and `bench layers` on a few made-up samples."""

import pandas as pd
import pytest

from bench import ensemble, layers


@pytest.mark.slow
def test_it_trains_what_is_missing_and_compares(tiny_faces, tmp_path, monkeypatch):
    monkeypatch.setattr(ensemble, "NETWORKS", {"one": {"backbone": "mobilenetv2", "image_size": 32}})
    options = ["--faces", str(tiny_faces), "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "found.csv")]
    options += ["--folds", "2", "--epochs", "1", "--layers", "mean", "ridge"]
    ensemble.main(options)
    finished = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("done.json")}
    assert len(finished) == 2
    table = pd.read_csv(tmp_path / "found.csv", comment="#").set_index("name")
    assert {"mean_shape", "weighted", "single", "mean", "ridge", "nested"} <= set(table.index)
    assert table["ratio_to_best"].min() <= 1.0 + 1e-9 and (table["seconds"].dropna() > 0).all()
    ensemble.main(options)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("done.json")} == finished


def test_layers_are_timed_on_predictions_that_ridge_can_mend(tmp_path):
    out = tmp_path / "layers.csv"
    layers.main(["--samples", "300", "--networks", "2", "--fits", "2", "--layers", "mean", "ridge", "--out", str(out)])
    table = pd.read_csv(out, comment="#").set_index("layer")
    assert table.loc["ridge", "seconds"] > 0 and (table["fits"] == 2).all()
    assert table.loc["ridge", "nme"] < 0.9 * table.loc["mean", "nme"]
