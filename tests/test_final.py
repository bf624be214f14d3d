import dataclasses
import logging

import numpy as np
import pandas as pd
import pytest

from kpl import final, stack
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.landmarks import MEAN_SHAPE
from kpl.oof import OofStore


def shapes(count: int, seed: int) -> np.ndarray:
    return MEAN_SHAPE + np.random.default_rng(seed).normal(0, 0.02, (count, 106, 3))


@pytest.fixture
def faces(tmp_path) -> FaceStore:
    """Two samples with truth, then three without, the last of which has no picture."""
    status = pd.DataFrame({f"status{view}": ["ok"] * 4 + ["excluded"] for view in range(3)})
    status.loc[3, "status0"] = "excluded"
    table = pd.DataFrame({"sample": [f"0000{i}/01" for i in range(5)], "subject": [f"0000{i}" for i in range(5)]}).join(
        status
    )
    points3d = shapes(5, 0)
    points3d[2:] = np.nan
    return FaceStore(
        table, np.zeros((5, 3, 2, 2, 3), np.uint8), points3d, np.full((5, 3, 106, 2), np.nan), {}, tmp_path, "f00d"
    )


@pytest.fixture
def store(faces) -> OofStore:
    names, subjects = faces.table["sample"].to_numpy(str), faces.table["subject"].to_numpy(str)
    return OofStore(
        "f00d",
        np.array(["small"]),
        np.array([0]),
        np.array(["centerface"]),
        names[:2],
        subjects[:2],
        np.array([0, 1]),
        faces.points3d[:2],
        shapes(2, 1)[None],
        names[2:],
        subjects[2:],
        shapes(3, 2)[None, None],
    )


@pytest.fixture
def layers(store) -> stack.StackStore:
    """Test samples in another order than in the faces."""
    return stack.StackStore(
        np.array(["mean", "ridge"]),
        store.samples,
        shapes(4, 3).reshape(2, 2, 106, 3),
        store.test_samples[::-1],
        shapes(6, 4).reshape(2, 3, 106, 3),
    )


def test_the_chosen_layer_speaks_and_a_sample_without_pictures_gets_the_mean_shape(
    faces, store, layers, tmp_path, caplog
):
    with caplog.at_level(logging.WARNING, "kpl"):
        rows, points = final.shapes_to_submit("ridge", 0, store, layers, faces, tmp_path)
    np.testing.assert_array_equal(rows, [2, 3, 4])
    np.testing.assert_array_equal(points[:2], layers.test_points[1][[2, 1]])
    np.testing.assert_array_equal(points[2], store.truth.mean(axis=0))
    assert [record.getMessage() for record in caplog.records] == [
        "00004/01 has no usable picture: it gets the mean shape."
    ]


def test_other_faces_with_the_same_names_are_predicted_by_the_networks(faces, store, layers, tmp_path):
    """No run is at hand here, so being asked for one is the proof."""
    other = dataclasses.replace(faces, fingerprint="beef")
    with pytest.raises(BadInput, match="small holds no finished fold"):
        final.shapes_to_submit("mean", 0, store, layers, other, tmp_path)


def test_layers_of_another_store_are_refused(faces, store, layers, tmp_path):
    stale = dataclasses.replace(layers, samples=np.array(["00000/01", "00009/01"]))
    for choice, stacked in (("mean", stale), ("neural", layers)):
        with pytest.raises(BadInput, match="run 04_stack again"):
            final.shapes_to_submit(choice, 0, store, stacked, faces, tmp_path)


def test_a_sample_that_no_layer_knows_is_named(faces, store, layers, tmp_path):
    short = dataclasses.replace(layers, test_samples=layers.test_samples[:2], test_points=layers.test_points[:, :2])
    with pytest.raises(BadInput, match="00002/01 is not among"):
        final.shapes_to_submit("mean", 0, store, short, faces, tmp_path)
