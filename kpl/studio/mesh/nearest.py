"""The nearest point of a surface, and how far in front of it a point stands."""

import numpy as np
import warp as wp

from kpl.studio.mesh.geometry import unit, vertex_normals
from kpl.studio.mesh.rays import array, build_mesh


@wp.kernel(enable_backward=False)
def _find(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    triangle: wp.array(dtype=wp.int32),
    weights: wp.array(dtype=wp.vec3),
):
    i = wp.tid()
    query = wp.mesh_query_point_no_sign(mesh, points[i], 1.0e6)
    triangle[i] = query.face
    weights[i] = wp.vec3(query.u, query.v, 1.0 - query.u - query.v)


class Solid:
    """A surface of vertices (V, 3) and triangles (F, 3), whose outside is known by its smooth normals."""

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray):
        self.vertices, self.triangles = vertices, triangles
        self._mesh = build_mesh(vertices, triangles)
        self._normals = vertex_normals(vertices, triangles)

    def nearest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For points (n, 3): the nearest points (n, 3), the unit normals there (n, 3), and the distances (n,),
        negative inside."""
        count = len(points)
        triangle, weights = (wp.zeros(count, dtype=kind, device="cpu") for kind in (wp.int32, wp.vec3))
        wp.launch(
            _find,
            dim=count,
            device="cpu",
            inputs=[self._mesh.id, array(points.astype(np.float32), wp.vec3), triangle, weights],
        )
        corners, shares = self.triangles[triangle.numpy()], weights.numpy()[..., None]
        foot = (self.vertices[corners] * shares).sum(axis=1)
        normal = unit((self._normals[corners] * shares).sum(axis=1))
        offset = points - foot
        sign = np.where((offset * normal).sum(axis=1) < 0, -1.0, 1.0)
        return foot, normal, sign * np.linalg.norm(offset, axis=1)

    def push_out(self, points: np.ndarray, clearance: np.ndarray | float) -> np.ndarray:
        """The points (n, 3), those nearer than `clearance` to the surface, or inside it, moved out to it."""
        foot, normal, distance = self.nearest(points)
        out = foot + normal * np.broadcast_to(clearance, distance.shape)[:, None]
        return np.where((distance < clearance)[:, None], out, points)
