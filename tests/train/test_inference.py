"""What networks say of pictures that end within the face."""

import numpy as np
import pytest
import torch

from kpl import faces, released, score
from kpl.train import inference


def test_what_lies_beyond_a_picture_is_known_by_the_black_about_it():
    views = torch.full((2, 3, 64, 64, 3), 90, dtype=torch.uint8)
    views[0, 1, :, :32] = 0  # its left half
    views[1, 2, 40, 40] = 0  # a pupil
    places = torch.tensor([[0.1, 0.5], [0.49, 0.5], [0.9, 0.5], [40.2 / 63, 40.2 / 63], [0.0, 1.0]])
    found = inference.beyond(views, places.expand(2, 3, 5, 2))
    assert found[0, 1].tolist() == [True, False, False, False, True] and found.sum() == 2


def test_a_face_that_a_border_cuts_is_found_better_where_the_unseen_is_doubted(tiny_faces, monkeypatch):
    store, networks = faces.load(tiny_faces), released.load()
    rows = np.flatnonzero(store.known)[::4]
    crops = np.array(store.crops[rows])
    crops[:, :, :, : crops.shape[3] // 3] = 0
    errors = []
    for factor in (inference.UNSEEN, 1.0):
        monkeypatch.setattr(inference, "UNSEEN", factor)
        errors.append(score.nme(released.answer(networks, crops).landmarks, store.points3d[rows]).mean())
    assert errors[0] < 0.97 * errors[1]


@pytest.mark.parametrize("view", range(3))
def test_a_missing_view_is_not_looked_at(view, tiny_faces):
    crops = np.array(faces.load(tiny_faces).crops[:1])
    crops[:, view] = 0
    found = inference.look(released.load().networks[0], torch.from_numpy(crops))
    assert found.points2d[:, view].isnan().all() and found.doubt[:, view].isnan().all()
    assert np.isfinite(np.delete(found.doubt.detach().numpy(), view, axis=1)).all()
