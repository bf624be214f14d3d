import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kpl import stack
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import read_json, read_npz, write_json, write_npz
from kpl.landmarks import MEAN_SHAPE
from stack.made import make_faces, make_store, write_runs

FOLDS = 3


@pytest.fixture
def faces(tmp_path) -> FaceStore:
    return make_faces(tmp_path / "faces", known=6)


@pytest.fixture
def runs(tmp_path, faces) -> Path:
    """Two networks with three folds; the held-out prediction of a sample is its truth plus 0 or 1."""
    write_runs(tmp_path / "runs", faces, {"small": 0, "large": 1}, FOLDS)
    return tmp_path / "runs"


def change(folder: Path, edit) -> None:
    """Rewrite a fold's predictions after `edit(arrays)`."""
    arrays = read_npz(folder / "predictions.npz", ("samples", "split", "points"))
    edit(arrays)
    write_npz(folder / "predictions.npz", **arrays)


def rewrite(file: Path, **changes) -> None:
    write_json(file, read_json(file) | changes)


def test_predictions_find_their_samples_whatever_their_order(runs, faces):
    store, left_out = stack.gather(runs, faces)
    assert list(store.networks) == ["large", "small"] and not left_out
    assert list(store.samples) == list(faces.table["sample"][:12])
    np.testing.assert_array_equal(store.folds, store.subjects.astype(int) % FOLDS)
    np.testing.assert_array_equal(store.truth, faces.points3d[:12])
    np.testing.assert_allclose(store.points, [store.truth + 1, store.truth], atol=1e-6)
    assert list(store.test_samples) == list(faces.table["sample"][12:])
    assert list(store.recipes) == ["centerface256"] * 2
    expected = [[[MEAN_SHAPE + number + fold] * 4 for fold in range(FOLDS)] for number in (1, 0)]
    np.testing.assert_allclose(store.test_points, expected, atol=1e-6)


def test_saved_and_loaded_is_the_same(runs, faces, tmp_path):
    store, _ = stack.gather(runs, faces)
    assert len(store.points)  # what was computed from the fields is not written with them
    store.save(tmp_path / "oof.npz")
    loaded = stack.load(tmp_path / "oof.npz")
    for field in dataclasses.fields(store):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(store, field.name))
    with pytest.raises(BadInput, match=r"none\.npz is missing"):
        stack.load(tmp_path / "none.npz")


def test_a_network_without_all_of_its_folds_is_left_out_and_said(runs, faces):
    (runs / "small" / "fold1" / "done.json").unlink()
    store, left_out = stack.gather(runs, faces)
    assert list(store.networks) == ["large"]
    assert left_out == ["small is left out: fold 1 is not trained."]
    (runs / "large" / "fold0" / "done.json").unlink()
    with pytest.raises(BadInput, match="no network with all of its folds"):
        stack.gather(runs, faces)


def test_only_the_networks_that_are_named_are_gathered(runs, faces):
    store, left_out = stack.gather(runs, faces, " small")
    assert list(store.networks) == ["small"] and not left_out
    assert list(stack.gather(runs, faces, "small,large")[0].networks) == ["large", "small"]  # in one order
    with pytest.raises(
        BadInput, match="network other is asked for, and its fold 0, 1, 2 is not trained .*large, small"
    ):
        stack.gather(runs, faces, "small,other")
    (runs / "small" / "fold1" / "done.json").unlink()
    with pytest.raises(BadInput, match="network small is asked for, and its fold 1 is not trained"):
        stack.gather(runs, faces, "small, large")


def double(arrays):
    first = np.flatnonzero(arrays["split"] == "oof")[0]
    for name in arrays:
        arrays[name] = np.concatenate([arrays[name], arrays[name][[first]]])


def drop(split):
    def edit(arrays):
        keep = np.arange(len(arrays["split"])) != np.flatnonzero(arrays["split"] == split)[0]
        for name in arrays:
            arrays[name] = arrays[name][keep]

    return edit


def rename(new):
    def edit(arrays):
        arrays["samples"] = arrays["samples"].astype("U20")
        arrays["samples"][np.flatnonzero(arrays["split"] == "oof")[0]] = new

    return edit


def break_number(arrays):
    arrays["points"][arrays["samples"] == "00001/01", 3, 1] = np.nan


@pytest.mark.parametrize(
    "edit, message",
    [
        (double, r"run small, fold 1: sample 0000[14]/0[12], one of 1, is predicted twice"),
        (drop("oof"), r"run small, fold 1: sample 0000[14]/0[12], one of 1, is not predicted"),
        (drop("test"), r"run small, fold 1: sample 0000[67]/0[12], one of 1, is not predicted"),
        (rename("00002/01"), "run small, fold 1: sample .*, one of 1, is not predicted"),
        (rename("00009/01"), "run small, fold 1: sample .*, one of 1, is not predicted"),
        (break_number, "run small, fold 1: sample 00001/01, one of 1, has a prediction that is not finite"),
        (lambda arrays: arrays.update(points=arrays["points"][:, :5]), "run small, fold 1: .* shape"),
        (lambda arrays: arrays.pop("split"), r"fold1/predictions\.npz is damaged"),
    ],
)
def test_disagreement_is_refused_with_run_fold_and_sample(runs, faces, edit, message):
    change(runs / "small" / "fold1", edit)
    with pytest.raises(BadInput, match=message):
        stack.gather(runs, faces)


@pytest.mark.parametrize(
    "part, value, message",
    [
        ("split", "other", r"by other folds \(folds.csv\) than those at hand"),
        ("truth", "other", "on another ground truth than those at hand"),
        ("recipe", "other", "on another crop recipe, unlike fold 0"),
        ("store", "other", "on other faces, unlike fold 0"),
        ("code", "other", "by other code .*, unlike fold 0"),
        ("seed", 9, "with seed=9, not 0, unlike fold 0"),
        ("lr", 0.2, "with lr=0.2, not 0.1, unlike fold 0"),
        (
            "became",
            {"precision": "bf16", "weights": "none", "file": "", "sha256": ""},
            "with precision='bf16', not 'fp32', unlike",
        ),
        (
            "became",
            {"precision": "fp32", "weights": "packaged", "file": "a.pth", "sha256": "5eed"},
            "with weights='packaged', not 'none', unlike",
        ),
    ],
)
def test_a_fold_of_another_kind_is_refused_and_said(runs, faces, part, value, message):
    rewrite(runs / "small" / "fold1" / "config.json", **{part: value})
    with pytest.raises(BadInput, match="run small, fold 1 was trained " + message):
        stack.gather(runs, faces)


def test_networks_of_several_recipes_that_exclude_different_samples_come_together(tmp_path):
    """A sample excluded under one recipe, and a whole subject under another, have truth and out-of-fold answers all the
    same; each recipe's own faces may be the ones at hand."""
    stores = {recipe: make_faces(tmp_path / recipe, known=6, recipe=recipe) for recipe in ("a", "b", "c")}
    stores["b"].table.loc[3, "outcome"] = "excluded"
    stores["c"].table.loc[[4, 5], "outcome"] = "excluded"
    for number, (recipe, faces) in enumerate(stores.items()):
        write_runs(tmp_path / "runs", faces, {f"of_{recipe}": number})
    for faces in stores.values():
        store, left_out = stack.gather(tmp_path / "runs", faces)
        assert list(store.recipes) == ["a", "b", "c"] and not left_out
        assert list(store.samples) == list(faces.table["sample"][:12])
        np.testing.assert_allclose(store.points, [store.truth, store.truth + 1, store.truth + 2], atol=1e-6)


def test_another_truth_is_not_welcome(runs, faces):
    faces.points3d[0] += 0.1
    with pytest.raises(BadInput, match="run large, fold 0 was trained on another ground truth"):
        stack.gather(runs, faces)


def test_a_subject_without_a_fold_is_refused(runs, faces):
    pd.read_csv(runs / "folds.csv", dtype=str).drop(index=2).to_csv(runs / "folds.csv", index=False)
    with pytest.raises(BadInput, match="does not know subject 00002"):
        stack.gather(runs, faces)


@pytest.mark.parametrize("known", [0, 2])
def test_too_few_subjects_for_second_layers_are_said_here(tmp_path, known):
    with pytest.raises(BadInput, match=f"{known} subjects with truth, and second layers need 3"):
        stack.gather(tmp_path, make_faces(tmp_path, known))


def test_without_test_samples_everything_is_gathered(tmp_path):
    faces = make_faces(tmp_path / "faces", known=6, unknown=0)
    write_runs(tmp_path / "runs", faces, {"small": 0})
    store, _ = stack.gather(tmp_path / "runs", faces)
    assert store.test_points.shape == (1, FOLDS, 0, 106, 3) and len(store.samples) == 12
    store.save(tmp_path / "oof.npz")
    loaded = stack.load(tmp_path / "oof.npz")
    assert stack.refit(stack.LAYERS["ridge"], loaded, loaded.test_points, 0).shape == (0, 106, 3)


def test_every_group_has_its_share_of_every_fold_and_whole_subjects():
    store = make_store(44)
    for subject in np.unique(store.subjects):
        assert len(set(store.groups[store.subjects == subject])) == 1
    shares = [[(store.groups[store.folds == fold] == group).sum() for group in range(5)] for fold in range(4)]
    np.testing.assert_array_equal(shares, np.full((4, 5), 10))  # 40 subjects with 5 samples, 20 cells
    np.testing.assert_array_equal(store.groups, stack.groups_of(store.subjects, store.folds))


def test_the_mean_shape_is_that_of_the_other_folds():
    store = make_store()
    own = store.folds == 2
    np.testing.assert_allclose(stack.mean_shape(store)[own][0], store.truth[~own].mean(axis=0))
