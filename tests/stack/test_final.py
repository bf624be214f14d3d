import dataclasses
import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kpl import faces, stack, train
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import read_json, write_json
from kpl.landmarks import MEAN_SHAPE


def shapes(count: int, seed: int) -> np.ndarray:
    return MEAN_SHAPE + np.random.default_rng(seed).normal(0, 0.02, (count, 106, 3))


@pytest.fixture
def some_faces(tmp_path) -> FaceStore:
    """Two samples with truth, then three without, the last of which has no picture."""
    status = pd.DataFrame({f"status{view}": ["ok"] * 4 + ["excluded"] for view in range(3)})
    status.loc[3, "status0"] = "excluded"
    names = pd.DataFrame({"sample": [f"0000{i}/01" for i in range(5)], "subject": [f"0000{i}" for i in range(5)]})
    points3d, points2d, crops = shapes(5, 0), np.full((5, 3, 106, 2), np.nan), np.zeros((5, 3, 2, 2, 3), np.uint8)
    points3d[2:] = np.nan
    return FaceStore(names.join(status), crops, points3d, points2d, {"name": "centerface256"}, tmp_path, "f00d")


@pytest.fixture
def store(some_faces) -> stack.OofStore:
    names, subjects = (some_faces.table[column].to_numpy(str) for column in ("sample", "subject"))
    return stack.OofStore(
        fingerprint="f00d",
        recipes=np.array(["centerface256"]),
        samples=names[:2],
        subjects=subjects[:2],
        folds=np.array([0, 1]),
        truth=some_faces.points3d[:2],
        test_samples=names[2:],
        test_subjects=subjects[2:],
        networks=np.array(["small"]),
        points=shapes(2, 1)[None],
        test_points=shapes(3, 2)[None, None],
    )


@pytest.fixture
def layers(store) -> stack.StackStore:
    """Test samples in another order than in the faces."""
    return stack.StackStore(
        names=np.array(["mean", "ridge"]),
        samples=store.samples,
        points=shapes(4, 3).reshape(2, 2, 106, 3),
        test_samples=store.test_samples[::-1],
        test_points=shapes(6, 4).reshape(2, 3, 106, 3),
    )


def test_the_chosen_layer_speaks_and_a_sample_without_pictures_gets_the_mean_shape(
    some_faces, store, layers, tmp_path, caplog
):
    with caplog.at_level(logging.WARNING, "kpl"):
        rows, points = stack.shapes_to_submit("ridge", 0, store, layers, some_faces, tmp_path)
    np.testing.assert_array_equal(rows, [2, 3, 4])
    np.testing.assert_array_equal(points[:2], layers.test_points[1][[2, 1]])
    np.testing.assert_array_equal(points[2], store.truth.mean(axis=0))
    assert [record.getMessage() for record in caplog.records] == [
        "00004/01 has no usable picture: it gets the mean shape."
    ]


def test_other_faces_with_the_same_names_are_predicted_by_the_networks(some_faces, store, layers, tmp_path):
    """No run is at hand here, so being asked for one is the proof."""
    other = dataclasses.replace(some_faces, fingerprint="beef")
    with pytest.raises(BadInput, match="small holds no finished fold"):
        stack.shapes_to_submit("mean", 0, store, layers, other, tmp_path)


def test_layers_of_another_store_are_refused(some_faces, store, layers, tmp_path):
    stale = dataclasses.replace(layers, samples=np.array(["00000/01", "00009/01"]))
    for choice, stacked in (("mean", stale), ("neural", layers)):
        with pytest.raises(BadInput, match="run 04_stack again"):
            stack.shapes_to_submit(choice, 0, store, stacked, some_faces, tmp_path)


def test_a_sample_that_no_layer_knows_is_named(some_faces, store, layers, tmp_path):
    short = dataclasses.replace(layers, test_samples=layers.test_samples[:2], test_points=layers.test_points[:, :2])
    with pytest.raises(BadInput, match="00002/01 is not among"):
        stack.shapes_to_submit("mean", 0, store, short, some_faces, tmp_path)


def test_where_every_truth_is_known_there_is_nothing_to_submit(some_faces, store, layers, tmp_path):
    some_faces.points3d[:] = shapes(5, 0)
    rows, points = stack.shapes_to_submit("ridge", 0, store, layers, some_faces, tmp_path)
    assert rows.shape == (0,) and points.shape == (0, 106, 3)


def of_both(tiny_runs, tiny_faces) -> tuple[stack.OofStore, stack.StackStore, FaceStore]:
    """The store of trained networks, layers that were fitted on it, and the same pictures as somebody else's."""
    of_faces = faces.load(tiny_faces)
    store, _ = stack.gather(tiny_runs, of_faces)
    names = np.array(["single", "lightgbm", "blend"])
    tests = np.zeros((3, len(store.test_samples), 106, 3))
    layers = stack.StackStore(names, store.samples, np.zeros((3, *store.truth.shape)), store.test_samples, tests)
    return store, layers, dataclasses.replace(of_faces, fingerprint="somebody else's")


@pytest.mark.parametrize("choice", ["lightgbm", "blend"])
def test_new_faces_are_answered_by_the_chosen_layer_of_the_notebook(tiny_runs, tiny_faces, choice):
    store, layers, new = of_both(tiny_runs, tiny_faces)
    rows, points = stack.shapes_to_submit(choice, 3, store, layers, new, tiny_runs)
    np.testing.assert_array_equal(rows, np.arange(len(new.table)))
    said = train.predict_network(tiny_runs, "small", new)[None]
    parts = stack.BLENDED if choice == "blend" else ("lightgbm",)
    fitted = [stack.refit(stack.method()["layers"][part], store, said, 3) for part in parts]
    np.testing.assert_array_equal(points, np.mean(fitted, axis=0))


def test_networks_of_several_recipes_are_each_asked_on_their_own(tiny_runs, tiny_faces, tmp_path):
    """A second network of another recipe, whose faces come in another order; it says what the first one says."""
    store, layers, new = of_both(tiny_runs, tiny_faces)
    both = dataclasses.replace(
        store,
        recipes=np.array(["centerface256", "other"]),
        networks=np.array(["small", "small2"]),
        points=np.repeat(store.points, 2, axis=0),
        test_points=np.repeat(store.test_points, 2, axis=0),
    )
    copy_run(tiny_runs, tmp_path / "runs")
    backwards = np.arange(len(new.table))[::-1]
    other = dataclasses.replace(
        new,
        table=new.table.iloc[backwards].reset_index(drop=True),
        crops=new.crops[backwards],
        points3d=new.points3d[backwards],
        points2d=new.points2d[backwards],
        recipe=new.recipe | {"name": "other"},
    )
    points = stack.shapes_to_submit("single", 0, both, layers, new, tmp_path / "runs", [other])[1]
    alone = stack.shapes_to_submit("single", 0, store, layers, new, tmp_path / "runs")[1]
    np.testing.assert_allclose(points, alone, atol=1e-5)
    with pytest.raises(BadInput, match="not of other: run 01_preprocess with -p recipe other"):
        stack.shapes_to_submit("single", 0, both, layers, new, tmp_path / "nothing is read before this is said")
    missing = dataclasses.replace(other, table=other.table.assign(sample="somebody/01"))
    with pytest.raises(BadInput, match=f"{new.table['sample'][0]} is not among"):
        stack.shapes_to_submit("single", 0, both, layers, new, tmp_path / "runs", [missing])


def copy_run(runs: Path, folder: Path) -> None:
    """The network `small`, and the same again as `small2`, of another recipe."""
    for name in ("small", "small2"):
        shutil.copytree(runs / "small", folder / name)
    for file in (folder / "small2").glob("*/config.json"):
        write_json(file, read_json(file) | {"recipe": "other"})
