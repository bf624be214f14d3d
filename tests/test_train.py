"""Training on a real, small set of faces. Everything runs on the CPU."""

import dataclasses

import numpy as np
import pytest
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kpl import faces, score, train
from kpl.config import TrainFold
from kpl.errors import BadInput
from kpl.files import read_json
from kpl.training import build, checkpoints, engine, inference
from kpl.training.learner import Learner

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
    accumulate=1,
    precision="auto",
    warmup=0.0,
    ema=0.0,
    keep="last",
    patience=0,
    save_every=0,
    processes=1,
    tracker="none",
)

# A backbone that costs next to nothing, where it does not matter what is trained.
SMALL = dict(backbone="test_resnet", fusion="average", points2d=0.0)


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
    (points,) = inference.predict_network(tmp_path, made.run_name, store)
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


def test_a_finished_run_is_not_trained_again(tmp_path, store):
    made = config(tmp_path, store, epochs=1)
    train.train_fold(made, store)
    before = (made.run_folder / "weights.safetensors").stat().st_mtime_ns
    assert len(train.train_fold(made, store)) == 1
    assert (made.run_folder / "weights.safetensors").stat().st_mtime_ns == before


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
        ({"precision": "fp16"}, "'fp16' needs a GPU"),
        ({"precision": "fp8"}, "auto, fp32, bf16, fp16"),
        ({"keep": "first"}, "last, best"),
        ({"tracker": "wandb"}, "pip install wandb"),
        ({"ema": 1.0}, "'ema' is 1.0"),
        ({"warmup": 2.0}, "leaves nothing of 2"),
        ({"accumulate": 0}, "'accumulate' is 0"),
        ({"save_every": -1}, "'save_every' is -1"),
    ],
)
def test_settings_that_make_no_run_leave_none_behind(tmp_path, store, change, words):
    made = config(tmp_path, store, name="mine", **SMALL | change)
    with pytest.raises(BadInput, match=words):
        train.train_fold(made, store)
    assert not made.run_folder.exists()


def test_a_loss_that_explodes_stops_with_one_sentence(tmp_path, store):
    made = config(tmp_path, store, lr=1e12, augment=False)
    with pytest.raises(BadInput, match="the loss is .* lower lr"):
        train.train_fold(made, store)
    assert not checkpoints.files(made.run_folder)  # none was kept of weights that are ruined


@pytest.mark.parametrize("change", [{"ema": 0.9}, {"precision": "bf16"}, {"accumulate": 2, "warmup": 1.0, "cycles": 2}])
def test_what_training_can_do_ends_in_a_network_that_predicts_what_the_run_saved(tmp_path, store, change):
    made = config(tmp_path, store, **SMALL, **change)
    history = train.train_fold(made, store)
    plain = train.train_fold(
        dataclasses.replace(made, name="plain", **{name: SETTINGS[name] for name in change}), store
    )
    assert np.isfinite(history["nme"]).all() and history["nme"].tolist() != plain["nme"].tolist()
    found = np.load(made.run_folder / "predictions.npz", allow_pickle=False)
    (points,) = inference.predict_network(tmp_path, made.run_name, store)
    by_name = dict(zip(store.table["sample"], points))
    assert max(np.abs(by_name[name] - saved).max() for name, saved in zip(found["samples"], found["points"])) < 1e-5


def test_the_best_epoch_can_be_kept_and_patience_ends_a_run(tmp_path, store, capsys):
    """The rate is so high that a later epoch is worse than an earlier one."""
    made = config(tmp_path, store, **SMALL, epochs=20, lr=0.03, keep="best", patience=3)
    history = train.train_fold(made, store)
    done = read_json(made.run_folder / "done.json")
    best = int(history["nme"].idxmin())
    assert len(history) == best + 1 + 3 < 20 and "no better hold-out NME for 3 epochs" in capsys.readouterr().out
    assert (done["epochs"], done["kept"], done["nme"]) == (len(history), best + 1, history["nme"][best])
    found = np.load(made.run_folder / "predictions.npz", allow_pickle=False)
    held_out = train.hold_out(made, store)
    points = found["points"][found["split"] == "oof"].astype(float)
    assert score.nme(points, store.points3d[held_out]).mean() == pytest.approx(history["nme"][best], abs=1e-6)


def test_norms_and_biases_do_not_decay(tmp_path, store):
    made = config(tmp_path, store, **SMALL, weight_decay=0.5)
    network = build.untrained(made, store, np.flatnonzero(store.known))
    learner = Learner(made, network, engine.start(made), {})
    decay = {
        id(weight): group["weight_decay"] for group in learner.optimizer.param_groups for weight in group["params"]
    }
    for name, weight in network.named_parameters():
        assert decay[id(weight)] == (0.0 if weight.ndim <= 1 else 0.5), name


def test_the_wait_for_data_and_the_rate_stand_in_the_history_and_tensorboard_has_it_too(tmp_path, store):
    made = config(tmp_path, store, **SMALL, epochs=3, warmup=1.0, tracker="tensorboard")
    history = train.train_fold(made, store)
    assert history["wait"].between(0, 1).all() and history["lr"].iloc[-1] < 0.2 * made.lr
    logs = EventAccumulator(str(made.run_folder / "tensorboard")).Reload()
    assert [event.value for event in logs.Scalars("nme")] == pytest.approx(history["nme"].tolist(), rel=1e-6)


def test_a_network_without_a_finished_fold_cannot_predict(tmp_path, store):
    with pytest.raises(BadInput, match="no finished fold"):
        inference.predict_network(tmp_path, "absent", store)
