import shutil

import numpy as np
import pytest

from kpl import faces
from kpl.errors import BadInput
from kpl.faces.store import outcome


@pytest.mark.parametrize("name", ["targets.npz", "crops.npy", "done.json", "faces.csv"])
def test_a_damaged_store_is_refused(store, tmp_path, name):
    folder = shutil.copytree(store.folder, tmp_path / name)
    one_line_less = (folder / name).read_bytes().rsplit(b"\n", 2)[0]
    (folder / name).write_bytes(one_line_less if name == "faces.csv" else b"{")
    with pytest.raises(BadInput, match="delete it"):
        faces.load(folder)


def test_no_store_is_refused(tmp_path):
    with pytest.raises(BadInput, match="is no finished store of faces: run 01_preprocess"):
        faces.load(tmp_path)


def test_a_sample_with_truth_is_known_unless_it_is_excluded(store):
    assert store.has_truth.tolist() == store.known.tolist() == [True, True, True, False]
    assert store.seen.tolist() == [[True] * 3, [True, False, True], [False, True, True], [True, True, False]]


def test_fewer_than_two_faces_exclude_a_sample():
    status = np.array([["ok", "ok", "ok"], ["fallback", "ok", "ok"], ["ok", "fallback", "excluded"]])
    score = np.array([[0.9, 0.9, 0.9], [0.4, 0.9, 0.9], [0.9, np.nan, np.nan]])
    assert outcome(status, score).tolist() == ["ok", "fallback", "excluded"]
