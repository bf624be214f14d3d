"""`bench peers`: the landmark network sees a studio picture's face, and the ridge never answers for its own subjects."""

from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

from bench import peers
from kpl import faces, stack
from kpl.config import path
from kpl.errors import BadInput
from kpl.files import write_json

installed = pytest.mark.skipif(not find_spec("ai_edge_litert"), reason="requirements-bench.txt is not installed")


@pytest.fixture(scope="module")
def look():
    try:
        return peers.landmarker(peers.model(path("output/bench")))
    except BadInput as error:
        pytest.skip(str(error))


@installed
def test_the_landmarker_sees_a_face_in_a_picture_and_none_in_grey(look, tiny_captures, tiny_faces):
    store = faces.load(tiny_faces)
    points, probability = look(peers.face_crop(store, 0, 1, tiny_captures))
    assert points.shape == (478, 3) and probability > 0.5
    assert look(np.full((256, 256, 3), 128, np.uint8))[1] < 0.5
    right, left, nose, chin = points[[33, 263, 1, 152], :2]  # MediaPipe's numbers
    assert right[0] < nose[0] < left[0] and max(right[1], left[1]) < nose[1] < chin[1] < 256


def test_features_forget_place_and_size_and_leave_out_what_has_no_face():
    points = np.random.default_rng(0).normal(size=(4, 3, 20, 3))
    there = np.ones((4, 3), bool)
    there[2, 1] = False
    made = peers.features(points, there, 2)
    assert made.shape == (4, 120) and np.isnan(made[2, 40:80]).all() and np.isfinite(made).sum() == 440
    np.testing.assert_allclose(made, peers.features(7 * points + 3, there, 2))
    assert np.isclose((made[0, :40] ** 2).sum() / 20, 1)


def test_a_subject_never_answers_for_itself():
    """Shapes that only their subject tells, by features that name the subject: known by heart, unknown out of fold."""
    rng = np.random.default_rng(0)
    subjects = np.repeat(np.arange(12), 5)
    truth = rng.normal(size=(12, 106, 3))[subjects]
    known, folds = 10 * np.eye(12)[subjects], subjects % 3
    by_heart = peers.shapes(peers.fitted(known, truth, subjects), known)
    found = peers.cross_fitted(known, truth, subjects, folds)
    assert np.square(by_heart - truth).mean() < 0.9 * np.square(found - truth).mean()
    changed = np.where((subjects == 0)[:, None, None], truth + 100, truth)  # its own truth has no say in its answer
    again = peers.cross_fitted(known, changed, subjects, folds)
    np.testing.assert_allclose(again[subjects == 0], found[subjects == 0])
    assert not np.allclose(again[folds == 1], found[folds == 1])


def test_without_a_default_run_one_sentence_says_so(tmp_path):
    with pytest.raises(BadInput, match="the default run has not been done"):
        peers.main(["--faces", str(tmp_path), "--oof", str(tmp_path), "--stack", str(tmp_path)])


@installed
def test_the_table_has_ours_and_theirs_on_the_same_samples(
    look, tiny_captures, tiny_faces, tmp_path, capsys, monkeypatch
):
    store = faces.load(tiny_faces)
    table, known = store.table, store.has_truth
    subjects, rng = table["subject"].to_numpy(str)[known], np.random.default_rng(0)
    truth = store.points3d[known]
    answers = (truth + rng.normal(scale=0.02 * truth.std(), size=truth.shape))[None]
    folds, tests = np.unique(subjects, return_inverse=True)[1] % 2, (~known).sum()
    samples, test_samples = table["sample"].to_numpy(str)[known], table["sample"].to_numpy(str)[~known]
    stack.OofStore(
        fingerprint=store.fingerprint,
        networks=np.array(["one"]),
        recipes=np.array(["centerface256"]),
        samples=samples,
        subjects=subjects,
        folds=folds,
        truth=truth,
        test_samples=test_samples,
        test_subjects=table["subject"].to_numpy(str)[~known],
        points=answers,
        test_points=np.tile(truth.mean(axis=0), (1, 2, tests, 1, 1)),
    ).save(tmp_path / "oof.npz")
    test_points = np.tile(truth.mean(axis=0), (1, tests, 1, 1))
    stack.StackStore(np.array(["mean"]), samples, answers, test_samples, test_points).save(tmp_path / "stack.npz")
    write_json(tmp_path / "choice.json", {"name": "mean"})
    monkeypatch.setattr(peers, "model", lambda folder: b"")
    monkeypatch.setattr(peers, "landmarker", lambda data: look)
    places = {"--captures": tiny_captures, "--faces": tiny_faces, "--out": tmp_path / "found.csv"}
    places |= dict.fromkeys(("--oof", "--stack", "--runs", "--results"), tmp_path)
    peers.main([str(part) for pair in places.items() for part in pair])
    found = pd.read_csv(tmp_path / "found.csv", comment="#").set_index(["split", "name"])
    said = capsys.readouterr().out
    assert "no face by the landmarker's own score" in said and "our seconds are left out" in said
    assert len(found) == 10 and found["ratio_low"].le(found["ratio_to_peer"]).all()
    assert found.loc[("oof", "final: mean"), "nme"] < 0.9 * found.loc[("oof", "mean_shape"), "nme"]
    (peer,) = set(found.index[found["ratio_to_peer"] == 1].get_level_values("name"))
    assert found.loc[("test", peer), "seconds"] > 0
