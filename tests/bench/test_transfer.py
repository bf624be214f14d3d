"""`bench transfer`: trainings that differ in one thing, asked about changed crops and portraits."""

from argparse import Namespace

import numpy as np
import pandas as pd
import pytest

from bench import transfer
from kpl import faces
from kpl.train import augment


@pytest.fixture
def options(tiny_faces, tmp_path, monkeypatch):
    ours = np.arange(46, 100)
    portraits = {f"points_{name}": np.full((len(ours), 2), 100.0) for name in transfer.PORTRAITS}
    np.savez(tmp_path / "points.npz", ours=ours, **portraits, **{f"iod_{name}": 50.0 for name in transfer.PORTRAITS})
    monkeypatch.setattr(transfer, "FIRST", transfer.FIRST | {"backbone": "mobilenetv3", "weights": "none", "folds": 2, "image_size": 32})
    monkeypatch.setattr(augment, "changes", augment.changes)  # put back afterwards
    store = faces.load(tiny_faces)
    truth = dict(zip(store.table["sample"][store.known], store.points3d[store.known]))
    monkeypatch.setattr(transfer.captures, "truth", lambda folder: truth)
    how = {"fixed": None, "wide": None, "epochs": 1, "batch_size": 8, "workers": 0, "each": 5, "jobs": 1}
    return Namespace(faces=tiny_faces, out=tmp_path / "found.csv", points=tmp_path / "points.npz", **how)


@pytest.mark.slow
def test_a_training_by_geometry_alone_is_measured_on_changed_crops_and_portraits(options):
    found = transfer.measured("augmented: geometry alone", options)
    assert {*transfer.CHANGES, "grace_hopper, lips"} <= set(found)
    assert all(value > 0 for name, value in found.items() if name != "training")
    crops = np.full((3, 64, 64, 3), 90, np.uint8)
    views, _ = augment.augmented(crops, 64, np.full((3, 106, 2), 0.5), np.random.default_rng(0), augment.changes("photographs"))
    assert set(np.unique(views)) <= {0, 90}  # it was the geometry alone that changed


def test_few_subjects_are_the_first_and_all_others_are_held_out(options, tmp_path):
    store = faces.load(options.faces)
    share = transfer.first_subjects(store, tmp_path, 2)
    folds = pd.read_csv(tmp_path / "folds.csv", dtype={"subject": str})
    subjects = store.table["subject"][store.known]
    assert folds["subject"][folds["fold"] == 1].tolist() == subjects.unique()[:2].tolist()
    assert share == subjects.isin(subjects.unique()[:2]).mean()
