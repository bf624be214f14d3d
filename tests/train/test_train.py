"""Training on a real, small set of faces. Everything runs on the CPU."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from cells import run
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kpl import faces, networks, released, score, train
from kpl.errors import BadInput
from kpl.files import read_json
from kpl.landmarks import mirror_points
from kpl.train import checkpoints
from train.folds_of import SMALL, parameters, trained


@pytest.fixture(scope="module")
def store(tiny_faces):
    return faces.load(tiny_faces)


def weights(folder):
    return load_file(folder / "weights.safetensors")


def test_a_run_leaves_all_its_files_and_names_its_predictions(tmp_path, store):
    made = parameters(tmp_path, store)
    history = trained(made).history
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
    made = parameters(tmp_path, store, epochs=1)
    trained(made)
    found = np.load(made.run_folder / "predictions.npz", allow_pickle=False)
    (points,) = train.predict_network(tmp_path, made.run_name, store)
    by_name = dict(zip(store.table["sample"], points))
    for name, saved in zip(found["samples"], found["points"]):
        assert np.abs(by_name[name] - saved).max() < 1e-5  # in batches of another size, which round otherwise


def test_asked_twice_a_network_says_of_a_mirrored_capture_the_mirrored_shape(store):
    """Of one that has learnt: one that has not answers the mean shape, whatever it is asked."""
    members, rows = released.load(), np.arange(4)
    network, size = members.networks[0], members.sizes[0]
    mirrored = replace(store, crops=store.crops[:, [2, 1, 0], :, ::-1])
    once, twice = (train.predict_rows(network, store, size, rows, 4, twice=way) for way in (False, True))
    there = train.predict_rows(network, mirrored, size, rows, 4, twice=True)
    # Enlarging a crop and its mirror image rounds one value in ten thousand differently, by one grey level.
    np.testing.assert_allclose(mirror_points(there), twice, atol=1e-4)
    assert np.abs(once - twice).max() > 1e-3


def test_the_answer_is_fitted_to_the_2d_landmarks_where_they_are_taught_and_else_the_head_s(tiny_runs, store):
    folder = tiny_runs / "small" / "fold0"
    made, rows = read_json(folder / "config.json"), np.arange(4)
    network = train.trained(folder, made)
    views = torch.from_numpy(np.stack([train.Views(store, made["image_size"])[0, row][0] for row in rows]))
    with torch.inference_mode():
        seen = train.look(network, views, twice=False)
    fit = train.fit_cameras(seen, network.shapes)
    answer = lambda: train.predict_rows(network, store, made["image_size"], rows, 4)
    np.testing.assert_allclose(answer(), fit.shapes.numpy(), atol=1e-5)
    network.shape_modes.zero_()
    assert train.fit_cameras(seen, network.shapes) is None
    np.testing.assert_allclose(answer(), seen.points3d.numpy(), atol=1e-5)


def test_same_seed_same_weights_other_seed_other_weights(tmp_path, store):
    made = [parameters(tmp_path / str(i), store, epochs=1, seed=seed) for i, seed in enumerate((0, 0, 1))]
    found = [weights(trained(p).p.run_folder) for p in made]
    same = [all((found[0][key] == other[key]).all() for key in found[0]) for other in found[1:]]
    assert same == [True, False]


def test_a_finished_run_is_not_trained_again(tmp_path, store):
    made = parameters(tmp_path, store, epochs=1)
    trained(made)
    before = (made.run_folder / "weights.safetensors").stat().st_mtime_ns
    assert len(trained(made).history) == 1
    assert (made.run_folder / "weights.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "change, words",
    [
        ({"lr": 5e-4}, "holds a run that was trained with lr=0.001, not 0.0005"),
        ({"epochs": 3}, "with epochs=1, not 3"),
        ({"fold": 7}, "fold 7"),
        ({"folds": 3}, "holds 2 folds, not 3"),
    ],
)
def test_settings_that_do_not_fit_are_refused_and_the_run_is_kept(tmp_path, store, change, words):
    made = parameters(tmp_path, store, **SMALL, epochs=1)
    trained(made)
    with pytest.raises(BadInput, match=words):
        run("02_train_fold", **made.model_dump(mode="json") | change)
    assert (made.run_folder / "done.json").exists()


def test_a_run_of_other_code_is_refused(tmp_path, store, monkeypatch):
    made = parameters(tmp_path, store, **SMALL, epochs=1)
    trained(made)
    monkeypatch.setattr(train.provenance, "code", lambda: "of yesterday")
    with pytest.raises(BadInput, match="by other code"):
        trained(made)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"loss": "l3"}, "'l1', 'l2' or 'smooth_l1'"),
        ({"epochs": 0}, "'epochs' is 0"),
        ({"image_size": 0}, "'image_size' is 0"),
        ({"image_size": -5}, "'image_size' is -5"),
        ({"backbone": "effb99"}, "unknown backbone"),
        ({"weights": "/nowhere.safetensors"}, "/nowhere.safetensors"),
        ({"precision": "fp16"}, "'fp16' needs a GPU"),
        ({"precision": "fp8"}, "'auto', 'fp32', 'bf16' or 'fp16'"),
        ({"keep": "first"}, "'last' or 'best'"),
        ({"tracker": "wandb"}, "pip install wandb"),
        ({"ema": 1.0}, "'ema' is 1.0"),
        ({"warmup": 2.0}, "leaves nothing of 2"),
        ({"accumulate": 0}, "'accumulate' is 0"),
        ({"save_every": -1}, "'save_every' is -1"),
    ],
)
def test_settings_that_make_no_run_leave_none_behind(tmp_path, store, change, words):
    made = parameters(tmp_path, store, name="mine", **SMALL)
    with pytest.raises(BadInput, match=words):
        run("02_train_fold", look=True, **made.model_dump(mode="json") | change)
    assert not made.run_folder.exists()


def test_a_loss_that_explodes_stops_with_one_sentence(tmp_path, store):
    made = parameters(tmp_path, store, lr=1e12, augment="none")
    with pytest.raises(BadInput, match="the loss is .* lower lr"):
        trained(made)
    assert not checkpoints.files(made.run_folder)  # none was kept of weights that are ruined


@pytest.mark.parametrize("change", [{"ema": 0.9}, {"precision": "bf16"}, {"accumulate": 2, "warmup": 1.0, "cycles": 2}])
def test_what_training_can_do_ends_in_a_network_that_predicts_what_the_run_saved(tmp_path, store, change):
    made = parameters(tmp_path, store, **SMALL, **change)
    history = trained(made).history
    plain = trained(parameters(tmp_path, store, **SMALL, name="plain")).history
    assert np.isfinite(history["nme"]).all() and history["nme"].tolist() != plain["nme"].tolist()
    found = np.load(made.run_folder / "predictions.npz", allow_pickle=False)
    (points,) = train.predict_network(tmp_path, made.run_name, store)
    by_name = dict(zip(store.table["sample"], points))
    assert max(np.abs(by_name[name] - saved).max() for name, saved in zip(found["samples"], found["points"])) < 1e-5


def test_the_best_epoch_can_be_kept_and_patience_ends_a_run(tmp_path, store, capsys):
    """The rate is so high that a later epoch is worse than an earlier one."""
    made = parameters(tmp_path, store, **SMALL | dict(epochs=20, lr=0.03, keep="best", patience=3))
    history = trained(made).history
    done = read_json(made.run_folder / "done.json")
    best = int(history["nme"].idxmin())
    assert len(history) == best + 1 + 3 < 20 and "no better hold-out NME for 3 epochs" in capsys.readouterr().out
    assert (done["epochs"], done["kept"], done["nme"]) == (len(history), best + 1, history["nme"][best])
    kept, rows = train.trained(made.run_folder, made.model_dump()), np.flatnonzero(train.hold_out(made, store))
    points = train.predict_rows(kept, store, made.image_size, rows, made.batch_size)
    assert score.nme(points, store.points3d[rows]).mean() == pytest.approx(history["nme"][best], abs=1e-6)


def test_norms_and_biases_do_not_decay(tmp_path, store):
    made = parameters(tmp_path, store, **SMALL, weight_decay=0.5)
    train.hold_out(made, store)
    parts = ("backbone", "image_size", "fusion", "share", "head", "dropout")
    network = networks.create(*(getattr(made, part) for part in parts))
    groups = train.Run(made, store, network, np.flatnonzero(store.known), networks.Start("none")).optimizer.param_groups
    decay = {id(weight): group["weight_decay"] for group in groups for weight in group["params"]}
    for name, weight in network.named_parameters():
        assert decay[id(weight)] == (0.0 if weight.ndim <= 1 else 0.5), name


def test_what_auto_came_to_stands_in_the_config(tmp_path, store):
    made = parameters(tmp_path, store, **SMALL, epochs=1)
    found = read_json(trained(made).p.run_folder / "config.json")
    assert found["precision"] == "auto" and found["became"]["precision"] == "fp32"
    assert found["became"] == {"weights": "none", "file": "", "sha256": "", "precision": "fp32"}
    file = made.run_folder / "weights.safetensors"
    started = parameters(tmp_path, store, **SMALL, epochs=1, name="other", weights=str(file))
    became = read_json(trained(started).p.run_folder / "config.json")["became"]
    assert became["weights"] == "file" and became["file"] == file.name
    assert became["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_samples_that_are_excluded_are_predicted_but_not_learned_from(tmp_path, store, tiny_faces):
    import shutil

    import pandas as pd

    shutil.copytree(tiny_faces, tmp_path / "faces")
    table = pd.read_csv(tmp_path / "faces" / "faces.csv", dtype=str, keep_default_na=False)
    known = np.flatnonzero(store.known)[[0, -1]]
    table.loc[known, "outcome"] = "excluded"
    table.to_csv(tmp_path / "faces" / "faces.csv", index=False)
    changed = faces.load(tmp_path / "faces")
    assert changed.known.sum() == store.known.sum() - 2
    found = []
    for fold in range(2):
        scope = run(
            "02_train_fold",
            **parameters(tmp_path / "runs", changed, **SMALL, epochs=1, fold=fold).model_dump(mode="json"),
        )
        assert not set(scope["train_rows"]) & set(known)
        predicted = np.load(scope["run"].p.run_folder / "predictions.npz")
        found += predicted["samples"][predicted["split"] == "oof"].tolist()
    assert sorted(found) == sorted(store.table["sample"][store.has_truth])


def test_the_wait_for_data_and_the_rate_stand_in_the_history_and_tensorboard_has_it_too(tmp_path, store):
    made = parameters(tmp_path, store, **SMALL | dict(epochs=3, warmup=1.0, tracker="tensorboard"))
    history = trained(made).history
    assert history["wait"].between(0, 1).all() and history["lr"].iloc[-1] < 0.2 * made.lr
    logs = EventAccumulator(str(made.run_folder / "tensorboard")).Reload()
    assert [event.value for event in logs.Scalars("nme")] == pytest.approx(history["nme"].tolist(), rel=1e-6)


def test_a_network_without_a_finished_fold_cannot_predict(tmp_path, store):
    with pytest.raises(BadInput, match="no finished fold"):
        train.predict_network(tmp_path, "absent", store)
