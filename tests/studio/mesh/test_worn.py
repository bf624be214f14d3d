"""Meshes of what is worn."""

import numpy as np

from kpl.studio.mesh.parts import Part
from kpl.studio.mesh.worn import nothing, sheet, together, tube

EYES = np.array([0.0, 7.0, 0.0])


def test_a_tube_has_its_radius_and_looks_outwards():
    path = np.stack([np.zeros(5), np.zeros(5), np.linspace(0, 1, 5)], axis=1)
    made = tube(path, 0.1, Part.FRAME, EYES)
    assert np.allclose(np.hypot(*made.vertices[:, :2].T), 0.1, atol=1e-6)
    outward = made.vertices * [1, 1, 0]
    assert ((made.normals * outward).sum(axis=1) > 0).all() or ((made.normals * outward).sum(axis=1) < 0).all()


def test_a_closed_tube_has_no_ends():
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    made = tube(ring, 0.05, Part.FRAME, EYES, closed=True)
    assert len(made.triangles) == 12 * 6 * 2


def test_pieces_together_keep_their_own_vertices():
    grid = np.random.default_rng(0).normal(size=(3, 4, 3))
    first, second = sheet(grid, Part.GARMENT, EYES), sheet(grid + 5, Part.LENS, EYES)
    both = together([first, nothing(), second])
    assert np.array_equal(both.vertices[both.triangles[len(first.triangles) :]], second.vertices[second.triangles])
    assert set(both.part.tolist()) == {Part.GARMENT, Part.LENS}
    assert np.allclose(both.reference, both.vertices - EYES, atol=1e-5)


def test_nothing_worn_is_empty():
    assert len(together([]).triangles) == len(nothing().vertices) == 0
