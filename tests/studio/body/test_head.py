"""Landmarks on the head, expressions, and the canonical frame."""

import numpy as np
import pytest

from kpl import landmarks
from kpl.studio.body import head, people
from kpl.studio.mesh.geometry import rotation


def face(anatomy, weights, actions=None):
    """A head with the given weights and facial actions."""
    subject = people.Subject(0, 1, True, 30.0, np.array([0.0, 1.0, 0.0]), weights)
    return head.shape_head(anatomy, subject, head.rest_vertices(anatomy, subject), actions or {})


def test_landmarks_mirror_on_a_symmetric_head(anatomy):
    points = face(anatomy, {}).landmarks
    assert np.abs(landmarks.mirror_points(points) - points).max() < 1e-6
    points = face(anatomy, people.population_weights(anatomy.label_list)).landmarks
    assert np.abs(landmarks.mirror_points(points) - points).max() < 3e-3  # MakeHuman's own are that exact


def test_landmark_weights_sum_to_one(anatomy):
    assert anatomy.landmark_weights.shape[0] == landmarks.COUNT
    assert np.allclose(anatomy.landmark_weights.sum(axis=1), 1)


def test_left_is_left_in_the_picture(anatomy):
    x = face(anatomy, {}).landmarks[:, 0]
    assert x[landmarks.index("left_eye_center")] < 0 < x[landmarks.index("right_eye_center")]


def test_canonical_frame_forgets_place_and_size(anatomy):
    points = face(anatomy, {}).landmarks
    assert np.allclose(head.to_canonical(points * 1.3 + [1.0, -2.0, 3.0]), head.to_canonical(points))


def test_canonical_transform_is_what_to_canonical_does(anatomy):
    points = face(anatomy, {}).landmarks
    scale, turn, move = head.canonical_transform(points)
    assert np.allclose((scale * turn @ points.T).T + move, head.to_canonical(points))
    assert np.allclose(turn @ turn.T, np.eye(3))


@pytest.mark.parametrize(
    "action, upper, lower, opens",
    [
        ("jawOpen", "lip_inner_upper_mid", "lip_inner_lower_mid", True),
        ("eyeBlinkLeft", "right_eye_upper_mid", "right_eye_lower_mid", False),  # the subject's left
    ],
)
def test_actions_move_the_landmarks(anatomy, action, upper, lower, opens):
    def gap(actions):
        points = face(anatomy, {}, actions).landmarks
        return points[landmarks.index(upper), 1] - points[landmarks.index(lower), 1]

    assert (gap({f"face:{action}": 1.0}) > gap({}) + 0.05) == opens
    assert (gap({f"face:{action}": 1.0}) < gap({}) - 0.05) != opens


def test_eye_centers_keep_still_while_pupils_follow_the_gaze(anatomy):
    ahead = face(anatomy, {})
    aside = face(anatomy, {}, {"face:eyeLookOutLeft": 0.8, "face:eyeLookInRight": 0.8})
    eyes, pupils = list(landmarks.EYE_CENTERS), list(landmarks.PUPILS)
    assert np.abs(aside.landmarks[eyes] - ahead.landmarks[eyes]).max() < 1e-9
    assert (aside.landmarks[pupils, 0] > ahead.landmarks[pupils, 0] + 0.02).all()


def test_pose_moves_landmarks_and_vertices_alike(anatomy):
    still = face(anatomy, {})
    turn, pivot, shift = rotation(20, -5, 3), np.array([0.0, 6.0, 0.2]), np.array([0.1, 0.2, -0.3])
    posed = still.posed(turn, pivot, shift)
    assert np.allclose(posed.landmarks, (still.landmarks - pivot) @ turn.T + pivot + shift)
    on_surface = posed.vertices[anatomy.landmark_vertices] * anatomy.landmark_weights[..., None]
    inner = np.setdiff1d(np.arange(landmarks.COUNT), [*landmarks.EYE_CENTERS, *landmarks.PUPILS])
    assert np.abs(on_surface.sum(axis=1)[inner] - posed.landmarks[inner]).max() < 1e-3
