"""The measures of likeness on shapes whose answers are known, and the command on a data set."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from kpl import landmarks
from kpl.studio import likeness
from kpl.studio.body import head, people, population
from kpl.studio.mesh.geometry import rotation


def value(rows, what):
    return next(measured for name, measured, _ in rows if name == what)


def test_the_mean_shape_itself_is_no_distance_away():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, (50, 106, 3))
    shapes = landmarks.MEAN_SHAPE + np.concatenate([noise, -noise])
    rows = likeness.shape_rows(shapes)
    assert float(value(rows, "mean shape, NME")) < 1e-4
    assert float(value(rows, "spread, all")) == pytest.approx(np.sqrt(3) * 0.01 / 0.75, rel=0.05)


def test_procrustes_forgets_place_turn_and_size():
    shape = landmarks.MEAN_SHAPE
    moved = 1.3 * shape @ rotation(10, 20, 5).T + [1, 2, 3]
    aligned = likeness.procrustes(np.stack([shape, moved]))
    assert np.allclose(aligned[0], aligned[1])


def test_boxes_are_brought_to_full_size():
    boxes = np.tile([100, 50, 200, 150], (4, 3, 1)) * 0.5
    rows = likeness.box_rows(boxes, 0.5)
    assert value(rows, "box side, mean") == "100 px"
    assert value(rows, "box centre, view 1") == "(150, 100)"


def test_frame_rows_tell_a_shifted_frame():
    shapes = np.repeat(landmarks.MEAN_SHAPE[None], 3, axis=0)
    assert value(likeness.frame_rows(shapes), "left eye centre") == "({:.3f}, {:.3f}, {:.3f})".format(
        *landmarks.MEAN_SHAPE[landmarks.EYE_CENTERS[0]]
    )
    assert value(likeness.frame_rows(shapes + 0.1), "left eye centre") != value(
        likeness.frame_rows(shapes), "left eye centre"
    )


def test_the_population_is_as_the_bars_have_it(anatomy):
    shapes = population.landmark_shapes(anatomy, seed=0, subjects=120, expressions=7)
    rows = likeness.shape_rows(shapes)
    assert float(value(rows, "mean shape, NME")) < likeness.MEAN_SHAPE_BAR
    for region, reference in likeness.SPREADS.items():
        assert float(value(rows, f"spread, {region}")) == pytest.approx(reference, rel=0.25)
    eyes = shapes[:, landmarks.EYE_CENTERS]
    assert np.abs(eyes.mean(axis=0) - likeness.EYES).max() < 0.005
    assert eyes.std(axis=0).max() < likeness.EYES_SPREAD


def test_landmarks_alone_are_those_of_the_whole_head(anatomy):
    subject = people.draw_subject(0, 1, anatomy.label_list)
    actions = people.draw_expression(subject, "01", anatomy.label_list)
    whole = head.shape_head(anatomy, subject, head.rest_vertices(anatomy, subject), actions).landmarks
    alone = population.landmark_shapes(anatomy, seed=0, subjects=1, expressions=1)[0]
    off_lids = np.setdiff1d(np.arange(landmarks.COUNT), landmarks.GROUPS["eyes"])  # lids are laid on the eyeballs
    assert np.abs(head.to_canonical(whole) - alone)[off_lids].max() < 1e-3


def test_the_rig_is_read_from_lying_landmarks():
    rng = np.random.default_rng(0)
    shapes = landmarks.MEAN_SHAPE + np.einsum("nk,klc->nlc", rng.normal(size=(30, 6)), rng.normal(0, 0.02, (6, 106, 3)))
    seen = np.stack([(shapes @ rotation(yaw, 0, 0).T)[..., :2] for yaw in (35, 0, -25)], axis=1)  # x right, y up
    lying = np.stack([-seen[..., 1], -seen[..., 0]], axis=-1) * 300 + 500
    yaw, pitch = likeness.stands(lying, shapes)
    rows = likeness.rig_rows(yaw, pitch)
    assert np.abs(yaw.mean(axis=0) - [35, 0, -25]).max() < 4
    assert np.abs(pitch).max() < 5 and value(rows, "camera of view 1: yaw, pitch").endswith("degrees")


def run(*options):
    command = [sys.executable, "-m", "kpl.studio.likeness", *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_command_measures_a_data_set(data_set, tmp_path):
    result = run(data_set, "--out", tmp_path, "--pictures", "5")
    assert result.returncode == 0, result.stderr
    table = pd.read_csv(tmp_path / "likeness.csv")
    assert {
        "box side, mean",
        "mean shape, NME",
        "spread, lips",
        "left eye centre",
        "found, view 2",
        "camera of view 0: yaw, pitch",
    } <= set(table["what"])
    for name in ("mean_shape", "spread", "rig", "detection", "ages"):
        assert (tmp_path / f"{name}.png").stat().st_size > 5000


@pytest.mark.slow
def test_a_folder_that_is_none_ends_with_one_sentence(tmp_path):
    result = run(tmp_path / "nowhere", "--out", tmp_path)
    assert result.returncode == 2 and result.stderr.strip().count("\n") == 0
