"""Three pictures in, landmarks out, with weights released from a tiny network: what it says is poor, how it behaves is
not."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

import kpl
from kpl import captures, config, correction, ensemble, faces, release, score, train
from kpl.bench.ensemble import defaults
from kpl.errors import BadInput
from kpl.face import predict, upright_turn
from kpl.landmarks import MEAN_SHAPE
from kpl.reading import pictures
from kpl.stacking.second_layers import ridge

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def weights(tiny_runs, tiny_faces, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    release.make([tiny_runs / "small" / "fold0"], faces.load(tiny_faces), {}, folder)
    return folder


@pytest.fixture(scope="module")
def triple(tiny_captures) -> list[str]:
    """The paths of one test sample's pictures, which lie on their side."""
    table = captures.find(tiny_captures)
    return table.loc[table["split"] == "test", ["view0", "view1", "view2"]].iloc[0].tolist()


def test_a_face_comes_back_with_everything_that_is_known_of_it(triple, weights):
    found = kpl.predict(*triple, weights=weights)
    assert found.landmarks.shape == (106, 3) and found.spread.shape == (106,)
    assert score.nme(found.landmarks[None], MEAN_SHAPE[None])[0] < 0.2 and (found.spread > 0).all()
    assert found.turn == 90 and found.crops.shape == (3, 96, 96, 3) and found.crops.any(axis=(1, 2, 3)).all()
    assert ((found.crop_points > 0) & (found.crop_points < 1)).all()  # untrained maps look about the middle
    for view, path in enumerate(triple):
        height, width = pictures.read(path).pixels.shape[:2]
        assert ((found.points2d[view] >= 0) & (found.points2d[view] <= [width, height])).all()


def test_arrays_are_as_good_as_paths_and_their_turn_is_found(triple, weights):
    by_path = predict(*triple, weights=weights)
    read = [pictures.read(path).pixels for path in triple]
    for quarters in range(4):
        turned = [np.rot90(picture, quarters) for picture in read]
        found = predict(*turned, weights=weights)
        assert found.turn == (90 + 90 * quarters) % 360
        np.testing.assert_allclose(
            found.landmarks, by_path.landmarks, atol=2e-3
        )  # whole-pixel squares may shift by one


def test_two_pictures_are_enough_and_one_is_not(triple, weights):
    found = predict(triple[0], triple[1], None, weights=weights)
    assert np.isfinite(found.landmarks).all() and not found.crops[2].any() and np.isnan(found.points2d[2]).all()
    grey = np.full((240, 180, 3), 128, np.uint8)
    assert np.isfinite(predict(triple[0], grey, triple[2], weights=weights).spread).all()
    with pytest.raises(BadInput, match="no face was found in the left and the right picture: at least 2"):
        predict(grey, triple[1], None, weights=weights)
    assert upright_turn([grey, grey, None]).quarters == 0


@pytest.mark.parametrize(
    "left, message",
    [
        ("absent.jpg", r"the left picture, absent\.jpg, cannot be used \(missing\)"),
        (np.zeros((10, 10), np.uint8), r"the left picture is an array of shape \(10, 10\)"),
        (np.zeros((10, 10, 3)), "type float64: give"),
    ],
)
def test_what_is_no_picture_is_said(left, message, triple, weights):
    with pytest.raises(BadInput, match=message):
        predict(left, triple[1], triple[2], weights=weights)


def test_a_folder_without_weights_is_said(triple, tmp_path):
    with pytest.raises(BadInput, match=r"holds no released weights \(card.json\)"):
        predict(*triple, weights=tmp_path)


def test_spreads_hold_on_average_on_held_out_samples(tiny_runs, tiny_faces, weights):
    store, card = faces.load(tiny_faces), ensemble.load(weights).card
    rows = release._held_out_by_all([tiny_runs / "small" / "fold0"], store)
    shapes, spread = release.answers(ensemble.load(weights), store, rows)
    errors = np.linalg.norm(shapes - store.points3d[rows], axis=2)
    assert errors.mean() == pytest.approx(spread.mean(), rel=1e-3)
    by_split = {(row["name"], row["split"]): row["nme"] for row in card["scores"]}
    assert by_split["released", "held_out"] == pytest.approx(score.nme(shapes, store.points3d[rows]).mean(), rel=1e-6)


def test_the_card_says_how_the_weights_came_about(tiny_runs, tiny_faces, weights):
    card = json.loads((weights / "card.json").read_text())
    entry = card["networks"][0]
    assert (weights / entry["file"]).stat().st_size == card["bytes"] < release.LARGEST
    assert (
        "-p backbone mobilenetv3" in entry["training"] and card["recipe"] == "centerface256" and card["crop_size"] == 96
    )
    assert card["parity"]["largest_shift"] < 0.01 and "CC0" in card["licence"]
    store = faces.load(tiny_faces)
    with pytest.raises(BadInput, match="hold out no sample together"):
        release.make([tiny_runs / "small" / f"fold{fold}" for fold in range(2)], store, {}, weights.parent / "none")


def test_a_correction_adds_what_ridge_learnt_and_leaves_faces_with_a_missing_view_alone(tmp_path):
    rng = np.random.default_rng(0)
    truth = MEAN_SHAPE + np.tensordot(rng.normal(size=(90, 6)), rng.normal(0, 0.02, (6, 106, 3)), axes=1)
    timid = MEAN_SHAPE + 0.6 * (truth - MEAN_SHAPE) + [0, 0.01, 0]
    subjects = np.repeat(np.arange(30), 3).astype(str)
    correction.save(correction.fit(timid[:60], truth[:60], subjects[:60]), tmp_path / "c.safetensors")
    found = correction.load(tmp_path / "c.safetensors")
    views = torch.ones(30, 3, 4, 4, 3, dtype=torch.uint8)
    views[0, 1] = 0
    corrected = correction.apply(found, torch.from_numpy(timid[60:]).float(), views).numpy()
    np.testing.assert_array_equal(corrected[0], timid[60].astype(np.float32))
    asked = ridge(timid[None, :60], truth[:60], subjects[:60], timid[None, 60:], 0)
    np.testing.assert_allclose(corrected[1:], asked[1:], atol=1e-5)
    assert np.abs(corrected[1:] - truth[61:]).mean() < 0.2 * np.abs(timid[61:] - truth[61:]).mean()
    (tmp_path / "c.safetensors").write_bytes(b"damaged")
    with pytest.raises(BadInput, match="holds no correction"):
        correction.load(tmp_path / "c.safetensors")


def test_the_faces_that_networks_know_cannot_correct_them(tiny_runs, tiny_faces, tmp_path):
    store = faces.load(tiny_faces)
    with pytest.raises(BadInput, match="faces of other subjects"):
        release.make([tiny_runs / "small" / "fold0"], store, {}, tmp_path, others=store)


def test_weights_that_are_too_large_are_not_released(tiny_runs, tiny_faces, tmp_path, monkeypatch):
    monkeypatch.setattr(release, "LARGEST", 1000)
    with pytest.raises(BadInput, match="the weights take .* MB: release fewer"):
        release.make([tiny_runs / "small" / "fold0"], faces.load(tiny_faces), {}, tmp_path)
    assert not (tmp_path / "card.json").exists()


def test_the_command_writes_landmarks_and_a_drawing(triple, weights, tmp_path):
    command = [sys.executable, "-m", "kpl.predict", *triple, "--weights", str(weights)]
    command += ["--out", str(tmp_path / "face.json"), "--picture", str(tmp_path / "face.png")]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    found = json.loads((tmp_path / "face.json").read_text())
    expected = predict(*triple, weights=weights)
    np.testing.assert_allclose(found["landmarks"], expected.landmarks, atol=1e-4)
    assert len(found["names"]) == len(found["spread"]) == 106
    assert cv2.imread(str(tmp_path / "face.png")).std() > 10
    command[3] = str(tmp_path / "absent.jpg")
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 1 and "the left picture" in ran.stderr and "Traceback" not in ran.stderr


def test_importing_the_package_is_light():
    code = "import sys, kpl; sys.exit(bool({'torch', 'cv2', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.slow
def test_the_onnx_file_answers_as_torch_does(weights, tmp_path):
    pytest.importorskip("onnxscript", reason="needs requirements-export.txt")
    from kpl import export

    found = export.export(ensemble.load(weights), tmp_path / "face.onnx")
    assert found["difference"] <= export.PARITY and (tmp_path / "face.onnx").stat().st_size > 100_000


released = pytest.mark.skipif(not (ensemble.RELEASED / "card.json").exists(), reason="no weights are released yet")


@released
def test_released_weights_know_faces_that_they_have_not_seen(tiny_captures):
    """The bar: at most 0.45 of the mean shape's error, on the studio's test subjects by the card, on others here."""
    card = ensemble.load().card
    nme = {(row["name"], row["split"]): row["nme"] for row in card["scores"]}
    assert nme["released", "test"] <= 0.45 * nme["mean_shape", "test"] and card["bytes"] <= release.LARGEST
    table, truth = captures.find(tiny_captures), captures.truth(tiny_captures / "held_out")
    rows = table[table["split"] == "test"].iloc[::3]
    shapes = [predict(*row).landmarks for row in rows[["view0", "view1", "view2"]].itertuples(index=False)]
    gt = np.stack([truth[sample] for sample in rows["sample"]])
    means = np.broadcast_to(MEAN_SHAPE, gt.shape)
    assert score.nme(np.stack(shapes), gt).mean() < 0.6 * score.nme(means, gt).mean()


@released
def test_a_training_starts_from_released_weights(tiny_faces, tmp_path):
    """What it knows is there from the start: a step that changes nothing leaves it far below the mean shape's error."""
    entry, store = ensemble.load().card["networks"][0]["config"], faces.load(tiny_faces)
    shape = {name: entry[name] for name in ("backbone", "image_size", "fusion", "share", "head")}
    places = {"faces": str(tiny_faces), "runs": str(tmp_path), "name": "tuned", "fold": 0, "folds": 2}
    settings = {"weights": "released", "epochs": 1, "lr": 1e-9, "augment": False}
    train.train_fold(config.checked(config.TrainFold, defaults() | shape | settings | places), store)
    history = pd.read_csv(tmp_path / "tuned/fold0/history.csv")
    mean_nme = score.nme(
        np.broadcast_to(MEAN_SHAPE, store.points3d[store.known].shape), store.points3d[store.known]
    ).mean()
    assert history["nme"].iloc[0] < 0.7 * mean_nme
