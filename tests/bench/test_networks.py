from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from bench import __main__ as bench
from bench import networks as compared
from bench.networks.variants import VARIANTS
from kpl import faces, score
from kpl.config import TrainFold, checked
from kpl.landmarks import MEAN_SHAPE


@pytest.fixture(scope="module")
def store():
    """Four subjects with three expressions; the shapes alone."""
    names = [(f"{subject:05}/{expression:02}", f"{subject:05}") for subject in range(4) for expression in range(3)]
    shapes = MEAN_SHAPE + np.random.default_rng(1).normal(0, 0.05, (len(names), 106, 3))
    table = pd.DataFrame(names, columns=["sample", "subject"]).assign(outcome="ok")
    return faces.FaceStore(table, np.empty(0), shapes, np.empty(0), {}, Path("faces"), "")


def test_variants_cover_every_fusion_head_share_and_loss():
    options = compared.parse([])
    made = [checked(TrainFold, compared.config(name, 0, options, Path("faces"))) for name in VARIANTS]
    for field in ("fusion", "head", "share", "loss"):
        known = set(get_args(TrainFold.model_fields[field].annotation))
        assert {getattr(one, field) for one in made} == known


def measured(store, held_out, factor):
    """What measure.run leaves, of predictions that are off by `factor` times the same noise."""
    samples = store.table["sample"].to_numpy(dtype=str)[held_out]
    truth = store.points3d[held_out]
    off = factor * np.random.default_rng(0).normal(0, 0.02, truth.shape)
    nme = score.nme(truth + off, truth)
    return {
        "samples": samples,
        "nme": np.stack([nme * (1.5 if subset < 6 else 1.0) for subset in range(7)]),
        "inner_nme": np.tile(nme, (7, 1)),
        **dict.fromkeys(compared.COSTS, np.array(1e6)),
    }


def test_the_table_compares_with_the_baseline_and_the_mean_shape(store):
    held_out = store.known & store.table["subject"].isin(["00000", "00003"])
    found = {
        "baseline": [measured(store, held_out, 2.0)],
        "late": [measured(store, held_out, 1.0), measured(store, held_out, 1.2)],
    }
    rows = compared.table(found, store).set_index("variant")
    assert rows.loc["baseline", "to_baseline"] == 1.0 and rows.loc["mean_shape", "to_mean_shape"] == 1.0
    assert rows.loc["late", "to_baseline"] == pytest.approx(0.55, abs=0.02)
    assert rows.loc["late", "to_baseline_high"] < 0.7 and rows.loc["late", "to_mean_shape_high"] < 1
    assert rows.loc["late", "gain_over_best_view"] == pytest.approx(1 / 3)


@pytest.mark.slow
def test_a_benchmark_trains_measures_and_goes_on(tiny_faces, tmp_path):
    out = tmp_path / "networks.csv"
    command = ["networks", "--faces", str(tiny_faces), "--out", str(out), "--backbone", "mobilenetv3", "--weights", "none"]
    command += ["--image-size", "32", "--epochs", "1", "--jobs", "1", "--variants", "baseline"]
    assert bench.main(command) == 0
    files = sorted(tmp_path.rglob("measured.npz"))
    times = [file.stat().st_mtime_ns for file in files]
    assert bench.main(command) == 0
    assert [file.stat().st_mtime_ns for file in files] == times
    table = pd.read_csv(out, comment="#").set_index("variant")
    assert list(table.index) == ["mean_shape", "baseline"]
    trained = table.drop(index="mean_shape")
    assert np.isfinite(trained).all().all() and (trained["million_multiply_adds"] > 1).all()
    assert (tmp_path / "networks.png").exists()
