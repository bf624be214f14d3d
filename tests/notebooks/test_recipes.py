"""Networks trained on crops of three recipes, each of which excludes other samples, from 02 to 05."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cells import run

import kpl
from kpl.files import read_json, write_json

RECIPES = ("a", "b", "c")


def another(faces: Path, folder: Path, recipe: str, excluded: list[int], owner: str = "") -> Path:
    """A copy of a folder of faces as another recipe might have made it, with some samples excluded."""
    shutil.copytree(faces, folder)
    table = pd.read_csv(folder / "faces.csv", dtype=str, keep_default_na=False)
    table.loc[excluded, "outcome"] = "excluded"
    table.to_csv(folder / "faces.csv", index=False)
    done = read_json(folder / "done.json")
    write_json(
        folder / "done.json", done | {"recipe": done["recipe"] | {"name": recipe}, "fingerprint": f"{recipe} {owner}"}
    )
    return folder


@pytest.mark.slow
def test_three_recipes_that_exclude_different_samples_come_to_a_submission(tiny_faces, tmp_path):
    """One sample is excluded by the second recipe, all of a subject's by the third; first of all, there it is not
    known."""
    subject = kpl.faces.load(tiny_faces).table["subject"]
    excluded = {"a": np.flatnonzero(subject == subject[0]).tolist(), "b": [8], "c": [0, 15]}
    stores = {name: another(tiny_faces, tmp_path / "faces" / name, name, excluded[name]) for name in RECIPES}
    settings = {"backbone": "mobilenetv3", "image_size": 32, "epochs": 1, "weights": "none", "tracker": "none"}
    places = {"runs": tmp_path / "runs", "oof": tmp_path / "oof", "stack": tmp_path / "stack"}
    for name, folder in stores.items():
        for fold in range(2):
            run("02_train_fold", faces=folder, runs=places["runs"], name=name, fold=fold, folds=2, **settings)
    run("03_oof", faces=stores["a"], runs=places["runs"], oof=places["oof"], networks="c,b,a")
    store = kpl.stack.load(places["oof"] / "oof.npz")
    assert len(store.samples) == 35 and list(store.recipes) == list(RECIPES)
    run("04_stack", oof=places["oof"], stack=places["stack"])
    out = {"submission": tmp_path / "submission.txt", "results": tmp_path / "results.csv"}
    run("05_submit", faces=stores["a"], truth="", **places, **out)
    assert len(kpl.submission.read(out["submission"])[0]) == 14
    run("03_oof", faces=stores["b"], runs=places["runs"], oof=tmp_path / "fewer", networks="b")
    assert kpl.stack.load(tmp_path / "fewer" / "oof.npz").networks.tolist() == ["b"]  # what others left there is none of it
    mine = {name: another(tiny_faces, tmp_path / "mine" / name, name, [], "mine") for name in RECIPES}
    run("05_submit", faces=mine["a"], truth="", **places, **out)
    assert len(kpl.submission.read(out["submission"])[0]) == 49
