"""Triangles drawn into the depth buffer are those that rays hit; the kernels compile for a GPU, too."""

import numpy as np
import pytest
import warp as wp

from kpl.studio.mesh import rays
from kpl.studio.mesh.geometry import rotation
from kpl.studio.mesh.parts import Part
from kpl.studio.picture import render, sensor
from kpl.studio.picture.camera import Camera
from kpl.studio.picture.hits import Look, Surface
from kpl.studio.picture.raster import Lens, draw_triangles, project_vertices

SIZE = 160


def drawn(anatomy, camera):
    """The number of the triangle at each pixel of a SIZE x SIZE picture of the reference head, -1 for none."""
    surface, look, lens = Surface(), Look(), Lens()
    surface.triangles = rays.array(anatomy.triangles.ravel(), wp.int32)
    surface.part = rays.array(np.full(len(anatomy.triangles), Part.SKIN), wp.int32)
    lens.eye, lens.focal, lens.center = wp.vec3(*camera.eye), camera.focal, wp.vec2(*camera.center)
    lens.right, lens.up, lens.back = (wp.vec3(*axis) for axis in camera.axes)
    points = rays.array(anatomy.reference, wp.vec3)
    seen, shown = wp.empty_like(points), wp.zeros((SIZE, SIZE), dtype=wp.uint64)
    wp.launch(project_vertices, len(points), [points, lens, seen], device="cpu")
    assert np.allclose(seen.numpy()[:, :2], camera.project(anatomy.reference), atol=0.01)
    wp.launch(draw_triangles, len(anatomy.triangles), [surface, look, lens, seen, shown], device="cpu")
    entries = shown.numpy()
    return np.where(entries == 0, -1, (entries & 0xFFFFFFFF).astype(int))


@pytest.mark.parametrize("yaw", [0.0, 40.0])
def test_what_is_drawn_is_what_rays_hit(anatomy, yaw):
    axes = rotation(yaw, 3, 5).T
    camera = Camera(anatomy.reference_landmarks.mean(axis=0) + 9 * axes[2], axes, 500.0, np.full(2, SIZE / 2))
    rows, columns = np.indices((SIZE, SIZE)).reshape(2, -1) + 0.5
    across, down = (columns - SIZE / 2) / camera.focal, (rows - SIZE / 2) / camera.focal
    toward = across[:, None] * axes[0] - down[:, None] * axes[1] - axes[2]
    toward /= np.linalg.norm(toward, axis=1, keepdims=True)
    mesh = rays.build_mesh(anatomy.reference, anatomy.triangles)
    hit, _, distance = rays.cast(mesh, np.broadcast_to(camera.eye, toward.shape), toward)
    shown = drawn(anatomy, camera).ravel()
    assert 0.3 < (hit >= 0).mean() < 0.95
    assert ((hit >= 0) == (shown >= 0)).mean() > 0.999
    both = (hit >= 0) & (shown >= 0)
    corners = anatomy.reference[anatomy.triangles[shown[both]]]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    plane = np.einsum("ni,ni->n", corners[:, 0] - camera.eye, normals)
    depth = plane / np.einsum("ni,ni->n", toward[both], normals)
    assert (np.abs(depth - distance[both]) < 1e-3).mean() > 0.995  # the same, or lying in one another


@pytest.mark.slow
def test_the_kernels_compile_for_a_gpu_without_one(photographer, tmp_path):
    for module in (render, sensor):
        wp.compile_aot_module(module, arch=80, module_dir=tmp_path, use_ptx=True)
    assert len(list(tmp_path.glob("*.sm80.*"))) == 2
