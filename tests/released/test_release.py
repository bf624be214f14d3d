"""Runs as released weights: measured first, then written, and nothing deleted that is another's."""

import json
import shutil
from pathlib import Path

import cells
import numpy as np
import pytest
import torch

from kpl import cameras, faces, release, released, score
from kpl.errors import BadInput


@pytest.fixture
def run(tiny_runs) -> Path:
    return tiny_runs / "small" / "fold0"


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def command(*arguments: str | Path) -> str:
    """What the command says instead of doing its work, in one line."""
    with pytest.raises(SystemExit) as ended:
        release.main([str(argument) for argument in arguments])
    said = ended.value.code
    assert isinstance(said, str) and said.startswith("kpl.release: ") and "\n" not in said
    return said


def test_spreads_hold_on_average_on_held_out_samples(run, tiny_faces, weights):
    store, card = faces.load(tiny_faces), released.load(weights).card
    rows = release._held_out_by_all([run], store)
    found = release.answers(released.load(weights), store, rows)
    shapes, errors = found.landmarks, np.linalg.norm(found.landmarks - store.points3d[rows], axis=2)
    assert errors.mean() == pytest.approx(found.spread.mean(), rel=1e-3)
    by_split = {(row["name"], row["split"]): row["nme"] for row in card["scores"]}
    assert by_split["released", "held_out"] == pytest.approx(score.nme(shapes, store.points3d[rows]).mean(), rel=1e-6)


def test_the_card_says_how_the_weights_came_about(run, weights):
    card = json.loads((weights / "card.json").read_text())
    entry = card["networks"][0]
    assert (weights / entry["file"]).stat().st_size == card["bytes"] < release.LARGEST
    assert entry["config"] == json.loads((run / "config.json").read_text()) and entry["finished"]["epochs"] == 1
    assert card["recipe"] == "centerface256" and card["crop_size"] == 96 and card["licence"] == "CC0-1.0"
    assert card["parity"]["moved"] < release.MOVED and len(card["usual"]["error"]) == 106


def test_test_samples_score_it_and_what_is_read_again_answers_the_same(run, tiny_faces, tiny_captures, tmp_path):
    card = release.make([run], tiny_faces, "MIT", tmp_path / "out", str(tiny_captures / "held_out"))
    assert card["bytes"] == sum(file.stat().st_size for file in (tmp_path / "out").glob("*.safetensors"))
    nme = {(row["name"], row["split"]): row["nme"] for row in card["scores"]}
    assert {split for _, split in nme} == {"held_out", "test"}
    store, found = faces.load(tiny_faces), released.load(tmp_path / "out")
    rows = release._held_out_by_all([run], store)
    again = score.nme(release.answers(found, store, rows).landmarks, store.points3d[rows]).mean()
    assert again == pytest.approx(nme["released", "held_out"], rel=1e-6)


def test_the_card_says_where_the_cameras_stood_and_the_network_keeps_the_shapes(run, tiny_faces, weights):
    """Of networks that hardly find the 2D landmarks, the fit is worth little; with the true ones it finds shape and rig."""
    usual, store, members = released.load(weights).card["usual"], faces.load(tiny_faces), released.load(weights)
    held_out = release._held_out_by_all([run], store)
    assert np.min(usual["residual"]) > 0 and usual["doubt"] > 0 and len(usual["yaw"]) == 3
    points, doubt = torch.from_numpy(store.points2d[held_out]), torch.full((len(held_out), 3, 106), 0.03)
    found = cameras.fit(points, doubt, members.networks[0].shapes)
    left, middle, right = found.yaw.mean(dim=0)
    assert left > 20 and abs(middle) < 15 and right < -20 and found.residual.mean() < 1.5


def test_the_spread_is_measured_by_people_not_by_samples(tiny_faces, weights):
    store, found = faces.load(tiny_faces), released.load(weights)
    fresh = {"error": [1.0] * 106, "residual": 1.0, "doubt": 1.0}
    members = released.Ensemble(found.card | {"usual": fresh}, list(found.networks))
    subjects = store.table["subject"]
    first, second, *_ = (np.flatnonzero(subjects == one) for one in subjects[store.known].unique())
    rows = np.array([*first, second[0]])
    members.card["usual"] = release._usual(members, store, rows, store.points3d[rows])
    said = release.answers(members, store, rows)
    error = np.linalg.norm(said.landmarks - store.points3d[rows], axis=2)
    of_people = lambda lengths: lengths[:-1].mean(axis=0) + lengths[-1]
    np.testing.assert_allclose(of_people(said.spread), of_people(error), rtol=1e-4)


def test_networks_that_look_for_no_2d_landmarks_answer_for_themselves(tiny_faces, tmp_path):
    settings = {"backbone": "mobilenetv3", "image_size": 32, "epochs": 1, "weights": "none", "fusion": "average"}
    cells.run("02_train_fold", faces=tiny_faces, runs=tmp_path, name="flat", folds=2, head="linear", points2d=0, **settings)
    card = release.make([tmp_path / "flat" / "fold0"], tiny_faces, "MIT", tmp_path / "out")
    answer = release.answers(released.load(tmp_path / "out"), faces.load(tiny_faces), np.arange(2))
    assert "yaw" not in card["usual"] and np.isfinite(answer.landmarks).all() and np.isnan(answer.yaw).all()


def test_folds_that_hold_out_nothing_together_are_refused(tiny_runs, tiny_faces, tmp_path):
    with pytest.raises(BadInput, match="hold out no sample together"):
        release.make([tiny_runs / "small" / f"fold{fold}" for fold in range(2)], tiny_faces, "MIT", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_weights_that_are_too_large_are_not_released(run, tiny_faces, tmp_path, monkeypatch):
    monkeypatch.setattr(release, "LARGEST", 1000)
    with pytest.raises(BadInput, match="the weights take .* MB: release fewer"):
        release.make([run], tiny_faces, "MIT", tmp_path)
    assert not any(tmp_path.iterdir())


def test_weights_that_half_precision_ruins_are_not_released(run, tiny_faces, tmp_path, monkeypatch):
    halved = release._halved
    monkeypatch.setattr(release, "_halved", lambda weights: halved({name: one * 0 for name, one in weights.items()}))
    with pytest.raises(BadInput, match="half precision moves the landmarks"):
        release.make([run], tiny_faces, "MIT", tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("recipe", ["retinaface600", "list256"])
def test_networks_of_faces_that_predict_cannot_cut_are_refused(recipe, run, tiny_faces, tmp_path):
    shutil.copytree(tiny_faces, tmp_path / "faces")
    done = json.loads((tmp_path / "faces" / "done.json").read_text())
    done["recipe"]["name"] = recipe
    (tmp_path / "faces" / "done.json").write_text(json.dumps(done))
    out = tmp_path / "out"
    said = command("--run", run, "--faces", tmp_path / "faces", "--licence", "MIT", "--out", out)
    assert f"kpl.predict cannot cut faces by {recipe}" in said and not out.exists()


def test_nobody_but_the_user_says_the_licence(run, tiny_faces, tmp_path):
    out = tmp_path / "out"
    assert "--licence is missing" in command("--run", run, "--faces", tiny_faces, "--out", out)
    assert not out.exists()


def test_a_run_is_no_place_for_a_release(run, tiny_faces, tmp_path):
    """Its weights are what is released, and were deleted for it."""
    shutil.copytree(run, tmp_path / "small" / "fold0")
    own = tmp_path / "small" / "fold0"
    before = contents(own)
    said = command("--run", own, "--faces", tiny_faces, "--licence", "MIT", "--out", own)
    assert "which no release made" in said and contents(own) == before


@pytest.mark.parametrize("lying", ["done.json", "history.csv", "config.json", "card.json"])
def test_a_folder_of_something_else_is_no_place_for_a_release(lying, run, tiny_faces, tmp_path):
    (tmp_path / lying).write_text('{"of": "another stage"}')
    said = command("--run", run, "--faces", tiny_faces, "--licence", "MIT", "--out", tmp_path)
    assert lying in said and [file.name for file in tmp_path.iterdir()] == [lying]


@pytest.mark.parametrize("out", ["", "{folder}/file", "{folder}/file/out", "/proc/nowhere"])
def test_a_place_that_cannot_be_written_is_said(out, run, tiny_faces, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a text")
    said = command("--run", run, "--faces", tiny_faces, "--licence", "MIT", "--out", out.format(folder=tmp_path))
    assert "--out" in said and [file.name for file in tmp_path.iterdir()] == ["file"]


def test_only_the_files_of_the_older_release_make_room(tiny_runs, tiny_faces, weights, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(weights, out)
    (out / "my.safetensors").write_bytes(b"somebody's")
    older = contents(weights)
    release.make([tiny_runs / "small" / "fold1"], tiny_faces, "MIT", out)
    card = json.loads((out / "card.json").read_text())
    ours = {"card.json", card["networks"][0]["file"]}
    assert set(contents(out)) == ours | {"my.safetensors"}
    assert (out / "my.safetensors").read_bytes() == b"somebody's" and set(older) - set(contents(out))


def test_a_release_that_fails_leaves_the_older_one_whole(tiny_runs, tiny_faces, weights, tmp_path):
    first, out = tmp_path / "first", tmp_path / "out"
    other = [tiny_runs / "small" / "fold1"]
    file = release.make(other, tiny_faces, "MIT", first)["networks"][0]["file"]
    shutil.copytree(weights, out)
    (out / file).mkdir()  # where its weights would go
    with pytest.raises(OSError):
        release.make(other, tiny_faces, "MIT", out)
    assert contents(out) == contents(weights)
    (out / "card.json").write_text("half a ca")
    assert "not valid JSON" in command("--run", *other, "--faces", tiny_faces, "--licence", "MIT", "--out", out)
    assert contents(out).keys() == contents(weights).keys()
