from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kpl import oof
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import read_json, write_json, write_npz
from kpl.landmarks import GROUPS, MEAN_SHAPE
from kpl.stacking import averages, provenance

FOLDS = 3


@pytest.fixture
def faces(tmp_path) -> FaceStore:
    """6 subjects with truth and 2 without, 2 expressions each."""
    subjects = np.repeat([f"{i:05d}" for i in range(8)], 2)
    samples = [f"{subject}/0{1 + i % 2}" for i, subject in enumerate(subjects)]
    points3d = MEAN_SHAPE + np.random.default_rng(0).normal(0, 0.02, (16, 106, 3))
    points3d[12:] = np.nan
    table = pd.DataFrame({"sample": samples, "subject": subjects, "expression": "01", "split": "train"})
    return FaceStore(
        table,
        np.zeros((16, 3, 2, 2, 3), np.uint8),
        points3d,
        np.full((16, 3, 106, 2), np.nan, np.float32),
        {"name": "centerface"},
        tmp_path / "faces",
        "f00d",
    )


@pytest.fixture
def runs(tmp_path, faces) -> Path:
    """Two networks with three folds; the held-out prediction of a sample is its truth plus the network's number."""
    folder = tmp_path / "runs"
    for number, name in enumerate(["small", "large"]):
        for fold in range(FOLDS):
            write_fold(folder / name / f"fold{fold}", faces, fold, number)
    pd.DataFrame({"subject": [f"{i:05d}" for i in range(6)], "fold": np.arange(6) % FOLDS}).to_csv(
        folder / "folds.csv", index=False
    )
    for done in folder.glob("*/*/done.json"):
        write_json(done, {"inputs": provenance.of(faces, folder / "folds.csv")})
    return folder


def write_fold(folder: Path, faces: FaceStore, fold: int, number: int) -> None:
    """Rows in an order of the fold's own; test predictions differ by fold, so that their mean shows."""
    known = np.isfinite(faces.points3d).all(axis=(1, 2))
    held_out = known & (faces.table["subject"].astype(int) % FOLDS == fold).to_numpy()
    rows = np.random.default_rng(10 * number + fold).permutation(np.flatnonzero(held_out | ~known))
    points = np.where(known[:, None, None], faces.points3d + number, MEAN_SHAPE + number + fold)
    write_npz(
        folder / "predictions.npz",
        samples=faces.table["sample"].to_numpy(dtype=str)[rows],
        split=np.where(known, "oof", "test")[rows],
        points=points[rows].astype(np.float32),
    )
    write_json(folder / "config.json", {"fold": fold, "seed": 7 + number, "lr": 0.1, "store": faces.fingerprint})
    write_json(folder / "done.json", {})  # its inputs are written when folds.csv is there


def change(folder: Path, edit) -> None:
    """Rewrite a fold's predictions after `edit(arrays)`."""
    with np.load(folder / "predictions.npz") as file:
        arrays = dict(file)
    edit(arrays)
    write_npz(folder / "predictions.npz", **arrays)


def test_predictions_find_their_samples_whatever_their_order(runs, faces):
    store, left_out = oof.gather(runs, faces)
    assert list(store.networks) == ["large", "small"] and not left_out
    assert list(store.samples) == list(faces.table["sample"][:12])
    np.testing.assert_array_equal(store.folds, store.subjects.astype(int) % FOLDS)
    np.testing.assert_array_equal(store.truth, faces.points3d[:12])
    np.testing.assert_allclose(store.points, [store.truth + 1, store.truth], atol=1e-6)
    assert list(store.test_samples) == list(faces.table["sample"][12:])
    assert list(store.seeds) == [8, 7] and list(store.recipes) == ["centerface"] * 2
    expected = [[[MEAN_SHAPE + number + fold] * 4 for fold in range(FOLDS)] for number in (1, 0)]
    np.testing.assert_allclose(store.test_points, expected, atol=1e-6)


def test_saved_and_loaded_is_the_same(runs, faces, tmp_path):
    store, _ = oof.gather(runs, faces)
    store.save(tmp_path / "oof.npz")
    loaded = oof.load(tmp_path / "oof.npz")
    for name, value in vars(store).items():
        np.testing.assert_array_equal(getattr(loaded, name), value)
    with pytest.raises(BadInput, match=r"none\.npz is missing"):
        oof.load(tmp_path / "none.npz")


def test_a_network_without_all_of_its_folds_is_left_out_and_said(runs, faces):
    (runs / "small" / "fold1" / "done.json").unlink()
    store, left_out = oof.gather(runs, faces)
    assert list(store.networks) == ["large"]
    assert left_out == ["small is left out: fold 1 is not trained."]
    (runs / "large" / "fold0" / "done.json").unlink()
    with pytest.raises(BadInput, match="no network with all of its folds"):
        oof.gather(runs, faces)


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
        (double, r"run small, fold 1: sample 0000[14]/0[12] is predicted twice"),
        (drop("oof"), r"run small, fold 1: 1 samples are not predicted, the first is 0000[14]/0[12]"),
        (drop("test"), r"run small, fold 1: 1 samples are not predicted, the first is 0000[67]/0[12]"),
        (rename("00002/01"), "run small, fold 1: sample 00002/01 belongs to fold 2"),
        (rename("00009/01"), "run small, fold 1: 1 samples are not predicted"),
        (break_number, "run small, fold 1: the prediction of sample 00001/01 is not finite"),
        (lambda arrays: arrays.update(points=arrays["points"][:, :5]), "run small, fold 1: .* shape"),
        (lambda arrays: arrays.pop("split"), r"fold1/predictions\.npz is damaged"),
    ],
)
def test_disagreement_is_refused_with_run_fold_and_sample(runs, faces, edit, message):
    change(runs / "small" / "fold1", edit)
    with pytest.raises(BadInput, match=message):
        oof.gather(runs, faces)


def rewrite(file: Path, **changes) -> None:
    write_json(file, read_json(file) | changes)


@pytest.mark.parametrize(
    "part, value, message",
    [
        ("folds", "other", "run small, fold 1 was trained by other folds"),
        ("truth", "other", "run small, fold 1 was trained on another ground truth"),
        ("recipe", "other", "run small, fold 1 was trained on another crop recipe than fold 0"),
        ("faces", "other", "run small, fold 1 was trained on other faces than fold 0"),
    ],
)
def test_a_fold_of_other_origin_is_refused_and_said(runs, faces, part, value, message):
    done = runs / "small" / "fold1" / "done.json"
    rewrite(done, inputs=read_json(done)["inputs"] | {part: value})
    with pytest.raises(BadInput, match=message):
        oof.gather(runs, faces)


def test_a_whole_network_of_another_recipe_is_welcome_and_of_another_truth_is_not(runs, faces):
    for fold in range(FOLDS):
        done = runs / "small" / f"fold{fold}" / "done.json"
        rewrite(done, inputs=read_json(done)["inputs"] | {"recipe": "retinaface", "faces": "beef"})
    store, _ = oof.gather(runs, faces)
    assert list(store.recipes) == ["centerface", "retinaface"]
    faces.points3d[0] += 0.1
    with pytest.raises(BadInput, match="run large, fold 0 was trained on another ground truth"):
        oof.gather(runs, faces)


@pytest.mark.parametrize("name, value", [("seed", 9), ("lr", 0.2)])
def test_folds_of_one_network_must_share_their_settings(runs, faces, name, value):
    rewrite(runs / "small" / "fold2" / "config.json", **{name: value})
    with pytest.raises(BadInput, match=f"run small, fold 2 was trained with {name}={value}, fold 0 with"):
        oof.gather(runs, faces)


def test_a_run_that_does_not_know_its_inputs_must_be_of_these_faces(runs, faces):
    (runs / "small" / "fold1" / "done.json").write_text("{}")
    assert len(oof.gather(runs, faces)[0].networks) == 2
    rewrite(runs / "small" / "fold1" / "config.json", store="beef")
    with pytest.raises(BadInput, match="run small, fold 1 was trained on other faces"):
        oof.gather(runs, faces)


def test_a_subject_without_a_fold_is_refused(runs, faces):
    pd.read_csv(runs / "folds.csv", dtype=str).drop(index=2).to_csv(runs / "folds.csv", index=False)
    with pytest.raises(BadInput, match="no fold to subject 00002"):
        oof.gather(runs, faces)


def test_faces_without_truth_cannot_be_gathered(runs, faces):
    faces.points3d[:] = np.nan
    with pytest.raises(BadInput, match="no sample with truth"):
        oof.gather(runs, faces)


def test_weights_find_the_better_network():
    rng = np.random.default_rng(1)
    truth = MEAN_SHAPE + rng.normal(0, 0.02, (50, 106, 3))
    points = truth + rng.normal(0, 1, (3, 50, 106, 3)) * np.array([0.01, 0.03, 0.3])[:, None, None, None]
    weights = averages.fit_weights(points, truth)
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all()
    # Independent errors: the best weights go with one over the variance, 9 : 1 : 0.01.
    np.testing.assert_allclose(weights, [0.9, 0.1, 0.001], atol=0.01)
    np.testing.assert_array_equal(weights, averages.fit_weights(points, truth))


def test_greedy_weights_take_the_better_networks_more_often():
    rng = np.random.default_rng(1)
    truth = MEAN_SHAPE + rng.normal(0, 0.02, (50, 106, 3))
    points = truth + rng.normal(0, 1, (3, 50, 106, 3)) * np.array([0.01, 0.014, 0.3])[:, None, None, None]
    weights = averages.greedy_weights(points, truth)
    assert weights.sum() == pytest.approx(1) and weights[2] == 0
    np.testing.assert_allclose(weights, [2 / 3, 1 / 3, 0], atol=0.1)  # one over the variance, 1 : 0.5
    best = averages.weighted_average(points, averages.fit_weights(points, truth))
    greedy = averages.weighted_average(points, weights)
    assert np.linalg.norm(greedy - truth, axis=2).mean() < 1.01 * np.linalg.norm(best - truth, axis=2).mean()


def test_regional_weights_find_who_is_better_where():
    rng = np.random.default_rng(1)
    truth = MEAN_SHAPE + rng.normal(0, 0.02, (50, 106, 3))
    spread = np.full((2, 1, 106, 1), 0.01)
    spread[0, 0, GROUPS["lips"]] = spread[1, 0, GROUPS["contour"]] = 0.1
    points = truth + rng.normal(0, 1, (2, 50, 106, 3)) * spread
    weights = averages.fit_regional_weights(points, truth)
    assert weights["lips"][1] > 0.95 and weights["contour"][0] > 0.95 and 0.4 < weights["eyes"][0] < 0.6
    assert sorted(np.concatenate(list(GROUPS.values()))) == list(range(106))  # no landmark is left out
    average = averages.regional_average(points, weights)
    lips = averages.weighted_average(points, weights["lips"])
    np.testing.assert_allclose(average[:, GROUPS["lips"]], lips[:, GROUPS["lips"]])


def test_weights_of_one_network_and_of_twins():
    truth = np.repeat(MEAN_SHAPE[None], 4, axis=0)
    points = truth[None] + np.random.default_rng(2).normal(0, 0.01, (1, 4, 106, 3))
    np.testing.assert_allclose(averages.fit_weights(points, truth), [1])
    np.testing.assert_allclose(averages.fit_weights(np.repeat(points, 2, axis=0), truth), [0.5, 0.5])
    np.testing.assert_allclose(
        averages.weighted_average(np.repeat(points, 2, axis=0), np.array([0.5, 0.5])), averages.mean_average(points)
    )
