"""The population's warp: moves landmarks, keeps eyeballs round, and nothing far away."""

import numpy as np
import pytest

from kpl import landmarks
from kpl.studio.body import people, warp
from kpl.studio.mesh.parts import Part


@pytest.fixture(scope="module")
def head(anatomy):
    """Vertices, part of each and landmarks of the mean head without the warp."""
    weights = people.mean_weights(anatomy.label_list)
    weights.pop(people.WARP)
    vertices = anatomy.vertices + anatomy.displacement(weights)
    part = np.full(len(vertices), int(Part.SKIN))
    on_mesh = anatomy.triangles.max(axis=1) < len(vertices)
    part[anatomy.triangles[on_mesh]] = anatomy.part[on_mesh, None]
    part[np.isin(part, (Part.BODY, Part.MOUTH, Part.SOCKET))] = Part.SKIN  # as in MakeHuman's own groups
    return vertices, part, anatomy.surface_points(vertices)


def test_landmarks_go_where_they_are_sent_and_the_rest_stays(anatomy, head):
    vertices, part, points = head
    moves = np.zeros((landmarks.COUNT, 3))
    moves[landmarks.GROUPS["lips"], 1] = 0.05
    shape = warp.shape(vertices, part, points, moves)
    moved = anatomy.surface_points(shape)
    assert np.abs(moved - moves)[landmarks.GROUPS["lips"]].max() < 0.015
    assert np.abs(moved)[landmarks.GROUPS["brows"]].max() < 0.015
    assert np.abs(shape[vertices[:, 2] < 0]).max() < 0.005  # the back of the head stays


def test_it_is_symmetric(anatomy, head):
    vertices, part, points = head
    moves = np.random.default_rng(0).normal(0, 0.02, (landmarks.COUNT, 3))
    shape = warp.shape(vertices, part, points, moves)
    moved = anatomy.surface_points(shape)
    asymmetry = np.abs(landmarks.mirror_points(moved) - moved).max()
    assert asymmetry < 4e-3  # MakeHuman's head is not quite symmetric, and random moves are rough


def test_eyeballs_move_as_wholes(anatomy):
    shape = anatomy.shapes[anatomy.label_index[people.WARP]].astype(float)
    for ball in (anatomy.left_eye_vertices, anatomy.right_eye_vertices):
        assert np.abs(shape[ball] - shape[ball].mean(axis=0)).max() < 1e-4
    assert np.abs(shape[anatomy.left_eye_vertices]).max() > 0
