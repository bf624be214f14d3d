"""Ray casting against a triangle mesh with NVIDIA Warp, on the CPU or a GPU."""

import numpy as np
import warp as wp

wp.config.log_level = wp.LOG_ERROR  # it greets at length


@wp.kernel(enable_backward=False)
def _cast(
    mesh: wp.uint64,
    origins: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    triangle: wp.array(dtype=wp.int32),
    hit: wp.array(dtype=wp.vec3),
):
    i = wp.tid()
    query = wp.mesh_query_ray(mesh, origins[i], directions[i], 1.0e6)
    triangle[i] = -1
    if query.result:
        triangle[i] = query.face
        hit[i] = wp.vec3(query.u, query.v, query.t)


def array(values: np.ndarray, dtype: type, device: str = "cpu") -> wp.array:
    """A warp array on `device`."""
    return wp.array(np.ascontiguousarray(values), dtype=dtype, device=device)


def build_mesh(vertices: np.ndarray, triangles: np.ndarray, device: str = "cpu") -> wp.Mesh:
    """A mesh that rays can be cast against: vertices (V, 3), triangles (F, 3)."""
    return wp.Mesh(
        points=array(vertices.astype(np.float32), wp.vec3, device),
        indices=array(triangles.astype(np.int32).ravel(), wp.int32, device),
    )


def cast(mesh: wp.Mesh, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, ...]:
    """First hits of R rays: triangle (R,) or -1, barycentric weights (R, 3) of its corners, distance (R,)."""
    count = len(origins)
    triangle = wp.zeros(count, dtype=wp.int32, device="cpu")
    hit = wp.zeros(count, dtype=wp.vec3, device="cpu")
    wp.launch(
        _cast,
        dim=count,
        device="cpu",
        inputs=[
            mesh.id,
            array(origins.astype(np.float32), wp.vec3),
            array(directions.astype(np.float32), wp.vec3),
            triangle,
            hit,
        ],
    )
    u, v, distance = hit.numpy().T
    return triangle.numpy(), np.stack([u, v, 1 - u - v], axis=1), distance
