"""Mirrored pictures: what is made of the answers, and who has a say in it."""

import numpy as np
import pytest

from kpl import faces, stack, train
from kpl.files import checksum, read_npz, write_npz
from stack.made import make_faces, write_runs

KNOWN = 15  # subjects, three in each group


def write_mirrored(runs, store, error) -> None:
    """What the network `small` says of the pictures in a mirror, as kpl.train keeps it: the truth moved by error(subject)."""
    shapes = {
        sample: shape + error(int(subject))
        for sample, subject, shape in zip(store.table["sample"], store.table["subject"], store.points3d)
    }
    for folder in sorted((runs / "small").iterdir()):
        samples = read_npz(folder / "predictions.npz", ("samples",))["samples"].astype(str)
        weights = checksum((folder / "weights.safetensors").read_bytes(), store.fingerprint, samples.tolist())
        points = np.nan_to_num(np.stack([shapes[sample] for sample in samples]), nan=1.0)
        write_npz(folder / "mirrored.npz", weights=np.array(weights), points=points.astype(np.float32))


@pytest.fixture
def made(tmp_path):
    """A network that is 0.01 off in the left half of the face, and right when asked in a mirror."""
    store = make_faces(tmp_path / "faces", KNOWN)
    half = 0.01 * (np.arange(106) < 53)[:, None]
    write_runs(tmp_path / "runs", store, {"small": half})
    write_mirrored(tmp_path / "runs", store, lambda subject: 0.0)
    return tmp_path / "runs", store


def test_mirrored_answers_that_are_surely_better_are_averaged_in(made):
    runs, of_faces = made
    plain, _ = stack.gather(runs, of_faces)
    store, trials = stack.average_where_better(plain, runs, of_faces)
    assert list(store.networks) == ["small+mirror"] and len(store.answers) == 1
    np.testing.assert_allclose(store.points, (plain.points + plain.truth) / 2, atol=1e-6)
    np.testing.assert_allclose(store.test_points, (plain.test_points + 1) / 2, atol=1e-6)
    (trial,) = trials.to_dict("records")
    assert (trial["network"], trial["used"], trial["groups"]) == ("small", True, 5)
    assert trial["ratio_low"] <= trial["ratio"] <= trial["ratio_high"] < 1


def test_mirrored_answers_that_are_worse_change_nothing(made):
    runs, of_faces = made
    write_mirrored(runs, of_faces, lambda subject: np.linspace(0, 0.1, 106)[:, None])
    plain, _ = stack.gather(runs, of_faces)
    store, trials = stack.average_where_better(plain, runs, of_faces)
    assert list(store.networks) == ["small"] and not trials["used"].any() and not trials["groups"].any()
    np.testing.assert_array_equal(store.points, plain.points)


def test_a_group_has_no_say_in_what_answers_for_it(made):
    """The mirrored answers are spoilt for the subjects of group 1 alone: the others still let them in."""
    runs, of_faces = made
    plain, _ = stack.gather(runs, of_faces)
    spoilt = set(plain.subjects[plain.groups == 1].astype(int))
    far = np.linspace(0, 0.5, 106)[:, None]
    write_mirrored(runs, of_faces, lambda subject: far if subject in spoilt else 0.0)
    store, trials = stack.average_where_better(plain, runs, of_faces)
    assert list(store.networks) == ["small"]  # as all subjects decide
    assert list(trials["groups"]) == [1] and list(store.answers[store.used[:, 0]]).index("small+mirror") == 1
    own = store.groups == 1
    np.testing.assert_allclose(store.points[0, own], (plain.points[0, own] + plain.truth[own] + far) / 2, atol=1e-6)
    np.testing.assert_array_equal(store.points[:, ~own], plain.points[:, ~own])
    asked = []

    def layer(points, truth, subjects, new_points, seed):
        asked.append((points, new_points))
        return new_points[0]

    np.testing.assert_allclose(stack.cross_fit(layer, store, 0), store.points[0])
    fitted_for_group_1 = asked[1][0][0]  # what a layer learns from is decided without the group, too
    np.testing.assert_allclose(fitted_for_group_1, (plain.points[0, ~own] + plain.truth[~own]) / 2, atol=1e-6)


def test_networks_of_other_faces_stay_as_they_are(made, tmp_path):
    runs, _ = made
    other = make_faces(tmp_path / "faces", KNOWN, recipe="retinaface")
    store, trials = stack.average_where_better(stack.gather(runs, other)[0], runs, other)
    assert list(store.networks) == ["small"] and not len(trials)


def test_a_trained_network_is_asked_in_a_mirror(tiny_runs, tiny_faces):
    """With five subjects the others are four, too few to be sure of anything: each group keeps the network alone."""
    of_faces = faces.load(tiny_faces)
    plain, _ = stack.gather(tiny_runs, of_faces)
    store, trials = stack.average_where_better(plain, tiny_runs, of_faces)
    assert list(trials["network"]) == ["small"] and not trials["groups"].any()
    np.testing.assert_array_equal(store.points, plain.points)
    alone = train.predict_network(tiny_runs, "small", of_faces)
    np.testing.assert_allclose(alone[:, ~of_faces.has_truth], plain.test_points[0], atol=1e-5)
    folder = tiny_runs / "small" / "fold0"
    mirrored = train.predict_mirrored(folder, of_faces)
    found = read_npz(folder / "predictions.npz", ("samples", "points"))
    row = of_faces.table["sample"].tolist().index(found["samples"][0])
    both = train.predict_network(tiny_runs, "small+mirror", of_faces)
    np.testing.assert_allclose(both[0, row], (found["points"][0] + mirrored[0]) / 2, atol=1e-5)
