"""03_oof and 04_stack, run whole."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from cells import run

import kpl
from kpl.files import read_json


def test_from_runs_to_a_chosen_layer(tiny_runs, tiny_faces, tmp_path):
    gathered = run("03_oof", look=True, faces=tiny_faces, runs=tiny_runs, oof=tmp_path / "oof", networks="small")
    store = kpl.stack.load(tmp_path / "oof" / "oof.npz")
    assert list(store.networks) == list(gathered["store"].networks) == ["small"]
    run("04_stack", look=True, oof=tmp_path / "oof", stack=tmp_path / "stack")
    plt.close("all")
    layers, choice = (
        kpl.stack.load_stack(tmp_path / "stack" / "stack.npz"),
        read_json(tmp_path / "stack" / "choice.json"),
    )
    assert set(layers.names) == {*kpl.stack.LAYERS, "lightgbm", "neural", "blend"} and choice["name"] in layers.names
    np.testing.assert_array_equal(layers.test_samples, store.test_samples)
    answers = dict(zip(layers.names.tolist(), layers.test_points))
    np.testing.assert_allclose(answers["mean"], store.test_points.mean(axis=(0, 1)))
    found = kpl.stack.refit_called("lightgbm", store, store.test_points, 0)
    np.testing.assert_array_equal(answers["lightgbm"], found)
    compared = pd.read_csv(tmp_path / "stack" / "comparison.csv").set_index("name")
    assert compared.loc[min(kpl.stack.FALLBACKS, key=compared["nme"].get), "ratio"] == 1
    assert len(pd.read_csv(tmp_path / "stack" / "coordinates.csv")) == 318
