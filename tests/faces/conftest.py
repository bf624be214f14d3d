"""Captures of three subjects in which everything is missing that can be, and their store."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from kpl import faces
from kpl.faces import FaceStore, orientation
from kpl.files import write_npz

from .made import RECIPE, SIZE, capture, save


@pytest.fixture(scope="session")
def captures_folder(tmp_path_factory) -> Path:
    """Two subjects with truth, one without, and everything that can be missing. Not to be written to."""
    root = capture(tmp_path_factory.mktemp("captures"), "00001/01", "00001/02", "00002/01", "00003/01")
    save(root / "00001/02/Images/1/t.png", np.full((300, 200, 3), 90, np.uint8))  # nobody there
    (root / "00002/01/Images/0/t.png").write_bytes(b"damaged")
    (root / "00003/01/Images/2/t.png").unlink()
    shape = np.random.default_rng(0).normal(size=(106, 3))
    (root / "gt.pkl").write_bytes(pickle.dumps({"00001/01": shape, "00001/02": shape, "00002/01": shape + 1}))
    points = np.random.default_rng(1).uniform(50, 150, (1, 3, 106, 2)).astype(np.float32)
    write_npz(root / "points2d.npz", samples=np.array(["00001/01"]), points=points)
    return root


@pytest.fixture
def few_pictures_decide(monkeypatch):
    """The orientation of these tiny sets."""
    monkeypatch.setattr(orientation, "ENOUGH", 6)


@pytest.fixture(scope="session")
def store(captures_folder, tmp_path_factory) -> FaceStore:
    """The store of `captures_folder`. Not to be written to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orientation, "ENOUGH", 6)
        return faces.build(captures_folder, tmp_path_factory.mktemp("store") / "here", RECIPE, SIZE, jobs=2)
