"""Distances from a surface."""

import numpy as np
import pytest

from kpl.studio.mesh.nearest import Solid


@pytest.fixture
def floor() -> Solid:
    """The square -1..1 at z = 0, seen from above."""
    vertices = np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    return Solid(vertices, np.array([[0, 1, 2], [0, 2, 3]]))


def test_points_above_are_outside_and_points_below_inside(floor):
    foot, normal, distance = floor.nearest(np.array([[0.2, 0.1, 0.5], [0.2, 0.1, -0.25]]))
    assert np.allclose(foot, [[0.2, 0.1, 0], [0.2, 0.1, 0]], atol=1e-6)
    assert np.allclose(normal, [[0, 0, 1], [0, 0, 1]], atol=1e-6)
    assert np.allclose(distance, [0.5, -0.25], atol=1e-6)


def test_only_points_that_are_too_near_are_pushed_out(floor):
    moved = floor.push_out(np.array([[0.0, 0, 0.5], [0, 0, 0.05], [0, 0, -0.3]]), 0.1)
    assert np.allclose(moved[:, 2], [0.5, 0.1, 0.1], atol=1e-6)
