"""Mirrored pictures and covered views, asked of a tiny network, and what is made of the answers."""

import numpy as np
import torch

from kpl import faces, oof, score
from kpl.files import read_json
from kpl.landmarks import mirror_points
from kpl.stacking import copies
from kpl.training import build, inference
from kpl.views import Views


def test_a_mirrored_copy_is_the_mirrored_answer_to_the_mirrored_capture(tiny_runs, tiny_faces):
    store = faces.load(tiny_faces)
    folder = tiny_runs / "small" / "fold0"
    network = build.trained(folder, read_json(folder / "config.json")).eval()
    views = torch.from_numpy(np.stack([Views(store, 32)[0, row][0] for row in range(3)]))
    flipped = torch.stack([views[:, 2].flip(2), views[:, 1].flip(2), views[:, 0].flip(2)], dim=1)
    with torch.inference_mode():
        expected = mirror_points(network(flipped).points3d.double().numpy())
    found = inference.predict_rows(network, store, 32, np.arange(3), 2, "mirror")
    np.testing.assert_allclose(found, expected, atol=1e-5)
    covered = inference.predict_rows(network, store, 32, np.arange(3), 2, "without1")
    views[:, 1] = 0
    with torch.inference_mode():
        np.testing.assert_allclose(covered, network(views).points3d.double().numpy(), atol=1e-5)


def test_the_better_of_alone_and_averaged_is_kept(tiny_runs, tiny_faces, monkeypatch):
    store_of_faces = faces.load(tiny_faces)
    store, _ = oof.gather(tiny_runs, store_of_faces)
    assert store.test_points.shape[:2] == (1, 2)  # one network, two folds
    averaged, trials = copies.average_where_better(store, tiny_runs, store_of_faces)
    assert list(trials["copies"]) == ["mirror", "views"] and trials["used"].sum() <= 1
    assert score.nme(averaged.points[0], store.truth).mean() <= score.nme(store.points[0], store.truth).mean()
    # Copies that know the truth are surely better; they were kept beside the predictions, so that nothing is asked twice.
    known = dict(zip(store.samples, store.truth))

    def knowing(folder, averaged, faces):
        samples = np.load(folder / "predictions.npz")["samples"]
        return np.stack([known.get(sample, store.truth[0]) for sample in samples])

    monkeypatch.setattr(copies, "predict_copies", knowing)
    averaged, trials = copies.average_where_better(store, tiny_runs, store_of_faces)
    assert list(averaged.networks) == ["small+views"] and list(trials["used"]) == [False, True]
    np.testing.assert_allclose(averaged.points[0], (store.points[0] + 3 * store.truth) / 4, atol=1e-5)
    assert (tiny_runs / "small" / "fold1" / "copies_views.npz").exists()


def test_new_faces_are_answered_with_the_same_copies(tiny_runs, tiny_faces):
    store = faces.load(tiny_faces)
    alone = inference.predict_network(tiny_runs, "small", store)
    both = inference.predict_network(tiny_runs, "small+mirror", store)
    assert alone.shape == both.shape == (2, len(store.table), 106, 3)
    gathered, _ = oof.gather(tiny_runs, store)
    np.testing.assert_allclose(alone[:, ~store.known], gathered.test_points[0], atol=1e-5)
    copy = inference.predict_copies(tiny_runs / "small" / "fold0", "mirror", store)
    samples = np.load(tiny_runs / "small" / "fold0" / "predictions.npz")["samples"]
    row = store.table["sample"].tolist().index(samples[0])
    np.testing.assert_allclose(both[0, row], (alone[0, row] + copy[0]) / 2, atol=1e-5)
