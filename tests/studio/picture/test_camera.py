"""Projection, lying pictures, the rig and the face box."""

import numpy as np
import pytest

from kpl import landmarks
from kpl.errors import BadInput
from kpl.studio.body import people
from kpl.studio.dataset.settings import Settings
from kpl.studio.mesh.geometry import rotation
from kpl.studio.picture import camera

STRAIGHT = camera.Camera(np.array([0.0, 0.0, 10.0]), np.eye(3), 1000.0, np.array([360.0, 640.0]))


def test_projection_by_hand():
    points = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 5.0]])
    assert np.allclose(STRAIGHT.project(points), [[360, 640], [460, 640], [360, 440]])


def test_lying_down_is_a_quarter_turn_of_the_pixels():
    upright = np.arange(12).reshape(4, 3)
    lying = np.rot90(upright)
    for row in range(4):
        for column in range(3):
            x, y = camera.lay_down(np.array([column + 0.5, row + 0.5]), 3)
            assert lying[int(y), int(x)] == upright[row, column]


def test_matrices_agree_with_the_camera():
    points = np.random.default_rng(0).normal(size=(5, 3))
    turned = camera.Camera(np.array([2.0, 1.0, 9.0]), rotation(12, 5, 3).T, 900.0, np.array([36.0, 64.0]))
    scale, turn, shift = 1.4, rotation(10, 20, 30), np.array([0.1, 0.2, 0.3])
    intrinsics, extrinsics = camera.projection(turned, (scale, turn, shift), 72)
    seen = (np.c_[points, np.ones(5)] @ extrinsics.T) @ intrinsics.T
    expected = camera.lay_down(turned.project(scale * points @ turn.T + shift), 72)
    assert np.allclose(seen[:, :2] / seen[:, 2:], expected)
    assert np.isclose(np.linalg.det(extrinsics[:, :3]), 1)


def test_the_rig_puts_the_face_where_the_lists_have_it(photographer):
    centers, sides = [], []
    for number in range(1, 5):
        portrait = photographer.sit(5, number).portray("01")
        boxes = portrait.boxes / 0.1
        centers.append((boxes[:, :2] + boxes[:, 2:]) / 2)
        sides.append(boxes[:, 2] - boxes[:, 0])
    contract = np.array([[706, 259], [716, 339], [708, 454]])
    assert np.abs(np.mean(centers, axis=0) - contract).max() < 100
    assert 230 < np.mean(sides) < 380


def test_the_nose_points_right_in_view_0_and_left_in_view_2(sitting):
    points = sitting.portray("01").points2d
    across = -points[..., 1]  # upright x grows as lying y falls
    nose = across[:, landmarks.index("nose_tip")] - across[:, landmarks.GROUPS["contour"]].mean(axis=1)
    assert nose[0] > abs(nose[1]) and nose[2] < -abs(nose[1])


def test_face_box_is_square_and_holds_the_face():
    points = np.random.default_rng(1).uniform([10, 20], [50, 45], (106, 2))
    x1, y1, x2, y2 = camera.face_box(points, np.random.default_rng(0))
    assert x2 - x1 == y2 - y1
    assert x1 < points[:, 0].min() and x2 > points[:, 0].max()
    assert 1.05 < (x2 - x1) / np.ptp(points[:, 0]) < 1.4


@pytest.mark.parametrize("rig, least, most", [("40", 40, 40), ("competition", 18, 38), ("free", 15, 60)])
def test_side_cameras_stand_where_the_rig_has_them(rig, least, most):
    stands = [camera.draw_stands(people.Subject(1, number, True, 0.0, np.zeros(3), {}), rig) for number in range(400)]
    yaws = np.array([angles[:, 0] for angles, _ in stands])
    assert (yaws[:, 1] == 0).all() and (yaws[:, 0] <= -least).all() and (yaws[:, 2] >= least).all()
    assert np.abs(yaws).max() <= most
    if rig == "competition":
        assert abs(yaws[:, 2].mean() - 28) < 0.5
    if rig == "free":
        assert np.std(yaws[:, 0] + yaws[:, 2]) > 10  # no two sides alike
        assert max(distance[1] for _, distance in stands) > 10


@pytest.mark.parametrize("rig", ["wide", "0", "90", "nan"])
def test_a_rig_that_does_not_exist_is_said(rig):
    with pytest.raises(BadInput, match=f"competition, free, or the side cameras' degrees .* not {rig}"):
        Settings(rig=rig)
