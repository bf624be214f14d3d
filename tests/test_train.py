"""Training on a real, small set of faces. Everything runs on the CPU."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.torch import load_file

from kpl import faces, inference, train
from kpl.config import TrainFold
from kpl.errors import BadInput

SETTINGS = dict(
    name="",
    backbone="mobilenetv3",
    image_size=32,
    fold=0,
    folds=2,
    epochs=2,
    batch_size=8,
    lr=1e-3,
    weight_decay=0.01,
    cycles=1,
    seed=0,
    fusion="late",
    share="mirrored",
    head="fc",
    dropout=0.1,
    loss="l1",
    points2d=0.3,
    view_dropout=0.0,
    augment=True,
    weights="none",
    workers=0,
)


@pytest.fixture(scope="module")
def store(tiny_faces):
    return faces.load(tiny_faces)


def config(tmp_path, store, **changes):
    return TrainFold(faces=str(store.folder), runs=str(tmp_path), **(SETTINGS | changes))


def weights(folder):
    return load_file(folder / "weights.safetensors")


def test_a_run_leaves_all_its_files_and_names_its_predictions(tmp_path, store):
    made = config(tmp_path, store)
    history = train.train_fold(made, store)
    assert list(history["epoch"]) == [1, 2] and np.isfinite(history["nme"]).all()
    assert {file.name for file in made.run_folder.iterdir()} == {
        "weights.safetensors",
        "config.json",
        "history.csv",
        "predictions.npz",
        "done.json",
    }
    found = np.load(made.run_folder / "predictions.npz", allow_pickle=False)
    held_out = train.hold_out(made, store)
    assert set(found["samples"][found["split"] == "oof"]) == set(store.table["sample"][held_out])
    assert set(found["samples"][found["split"] == "test"]) == set(store.table["sample"][~store.known])
    subjects = store.table["subject"]
    assert not set(subjects[held_out]) & set(subjects[store.known & ~held_out])


def test_the_saved_network_predicts_what_the_run_saved(tmp_path, store):
    made = config(tmp_path, store, epochs=1)
    train.train_fold(made, store)
    found = np.load(made.run_folder / "predictions.npz", allow_pickle=False)
    points = inference.predict_network(tmp_path, made.run_name, store)[0]
    by_name = dict(zip(store.table["sample"], points))
    for name, saved in zip(found["samples"], found["points"]):
        assert np.abs(by_name[name] - saved).max() < 1e-5


def test_same_seed_same_weights_other_seed_other_weights(tmp_path, store):
    runs = [
        train.train_fold(config(tmp_path / str(i), store, epochs=1, seed=seed), store) is not None
        and weights(config(tmp_path / str(i), store, epochs=1, seed=seed).run_folder)
        for i, seed in enumerate((0, 0, 1))
    ]
    same = [all((runs[0][key] == other[key]).all() for key in runs[0]) for other in runs[1:]]
    assert same == [True, False]


SCRIPT = """
import json, sys
from kpl import faces, train
from kpl.config import TrainFold
made = TrainFold(**json.loads(sys.argv[1]))
train.train_fold(made, faces.load(made.faces))
"""


def test_killed_in_the_middle_and_started_again_ends_with_the_same_weights(tmp_path, store):
    whole = config(tmp_path / "whole", store, epochs=4)
    train.train_fold(whole, store)
    killed = config(tmp_path / "killed", store, epochs=4)
    environ = os.environ | {"PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", SCRIPT, json.dumps(dataclasses.asdict(killed))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
    for line in process.stdout:
        if "epoch 2/4" in line:
            time.sleep(0.05)  # into the third epoch
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    assert not (killed.run_folder / "done.json").exists() and (killed.run_folder / "checkpoint.pt").exists()
    again = subprocess.run(command, capture_output=True, text=True, env=environ, check=True)
    assert "epoch 2/4" not in again.stdout and "epoch 4/4" in again.stdout
    ours, theirs = weights(whole.run_folder), weights(killed.run_folder)
    assert all((ours[key] == theirs[key]).all() for key in ours)


def test_a_finished_run_is_not_trained_again(tmp_path, store):
    made = config(tmp_path, store, epochs=1)
    train.train_fold(made, store)
    before = (made.run_folder / "weights.safetensors").stat().st_mtime_ns
    assert len(train.train_fold(made, store)) == 1
    assert (made.run_folder / "weights.safetensors").stat().st_mtime_ns == before


def test_a_damaged_checkpoint_is_noticed_and_the_fold_starts_again(tmp_path, store, caplog):
    made = config(tmp_path, store, epochs=1)
    made.run_folder.mkdir(parents=True)
    (made.run_folder / "checkpoint.pt").write_bytes(b"half a file")
    assert len(train.train_fold(made, store)) == 1
    assert "checkpoint.pt cannot be read" in caplog.text


@pytest.mark.parametrize(
    "change, words",
    [
        ({"lr": 5e-4}, "holds a run with lr=0.001, not 0.0005"),
        ({"fold": 7}, "fold 7"),
        ({"folds": 3}, "holds 2 folds, not 3"),
    ],
)
def test_settings_that_do_not_fit_are_refused_and_the_run_is_kept(tmp_path, store, change, words):
    made = config(tmp_path, store, epochs=1)
    train.train_fold(made, store)
    with pytest.raises(BadInput, match=words):
        train.train_fold(dataclasses.replace(made, **change), store)
    assert (made.run_folder / "done.json").exists()


@pytest.mark.parametrize(
    "change, words",
    [
        ({"loss": "l3"}, "l1, l2, smooth_l1"),
        ({"epochs": 0}, "'epochs' is 0"),
        ({"backbone": "effb99"}, "unknown backbone"),
        ({"weights": "/nowhere.safetensors"}, "/nowhere.safetensors"),
    ],
)
def test_settings_that_make_no_run_leave_none_behind(tmp_path, store, change, words):
    made = config(tmp_path, store, name="mine", **change)
    with pytest.raises(BadInput, match=words):
        train.train_fold(made, store)
    assert not made.run_folder.exists()


def test_a_loss_that_explodes_stops_with_one_sentence(tmp_path, store):
    with pytest.raises(BadInput, match="lower lr"):
        train.train_fold(config(tmp_path, store, lr=1e12, augment=False), store)


def test_a_network_without_a_finished_fold_cannot_predict(tmp_path, store):
    with pytest.raises(BadInput, match="no finished fold"):
        inference.predict_network(tmp_path, "absent", store)
