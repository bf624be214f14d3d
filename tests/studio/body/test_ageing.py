"""Ageing goes one way, and wrinkles come with years and expressions."""

import numpy as np

from kpl.studio.body import ageing, people
from kpl.studio.mesh.geometry import lay_on_ball
from kpl.studio.paint.canvas import Canvas
from kpl.studio.paint.wrinkles import Wrinkles


def subject_of(years, male=True):
    return people.Subject(0, 1, male, years, np.array([0.0, 1.0, 0.0]), {})


def test_years_only_add():
    years = np.arange(18, 81)
    for progress in (ageing.sagging, ageing.lines):
        values = [progress(year) for year in years]
        assert np.all(np.diff(values) >= 0) and values[0] == 0 and 0.9 < values[-1] <= 1


def test_the_young_do_not_sag_and_the_old_do():
    young, old = (ageing.shape_offsets(years, np.random.default_rng(0)) for years in (25, 75))
    assert not any(young.values())
    assert old["cheek-trans-up"] < -0.2 and old["head-age-incr"] > 0.3


def test_ages_do_not_change_who_is_drawn(anatomy):
    subject = people.draw_subject(1, 4, anatomy.label_list)
    assert people.age(1, 4) == subject.years


def test_wrinkles_deepen_with_years_and_expression(anatomy):
    canvas = Canvas(anatomy)
    frown = {"face:browDownLeft": 1.0, "face:browDownRight": 1.0}
    strength = {
        (years, len(actions)): np.abs(Wrinkles(canvas, subject_of(years)).relief(actions)[..., :2]).sum()
        for years in (20, 70)
        for actions in ({}, frown)
    }
    assert strength[20, 0] == 0 < strength[20, 2]
    assert strength[70, 0] > strength[20, 2]
    assert strength[70, 2] > strength[70, 0]


def test_one_sided_smiles_fold_one_side(anatomy):
    relief = Wrinkles(Canvas(anatomy), subject_of(20)).relief({"face:mouthSmileLeft": 1.0})
    left, right = np.abs(relief[:, :260]).sum(), np.abs(relief[:, 260:]).sum()
    assert right > 10 * left  # the subject's left is the picture's right


def test_lids_are_lifted_in_order():
    ball = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
    inside, outside, away, behind = [0, 0, 0.8], [0, 0, 0.95], [0, 0, 1.3], [0, 0, -0.8]
    vertices = np.concatenate([ball, [inside, outside, away, behind]])
    lay_on_ball(vertices, np.arange(6), np.arange(6, 10))
    distances = np.linalg.norm(vertices[6:], axis=1)
    assert 1 < distances[0] < distances[1] < distances[2] == 1.3 and distances[3] == 0.8
