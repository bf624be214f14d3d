"""Small geometry that several rooms of the studio need."""

import numpy as np

# Where lids may be, in an eyeball's radii from its centre: what lies at the first distances is lifted to the second
# ones, in order, so that a lid's outside stays before its inside.
_LID_DISTANCES = ([0.6, 1.06], [1.015, 1.06])
_LID_FRONT = (0.0, 0.35)  # how far round the ball that is so, as cosines: not at all, wholly


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals (V, 3) float32; zero where no triangle touches a vertex."""
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    face_normals = np.cross(b - a, c - a)
    corners = triangles.T.ravel()
    sums = np.stack([np.bincount(corners, np.tile(values, 3), len(vertices)) for values in face_normals.T], 1)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.maximum(lengths, 1e-12)).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) of length one; those of no length stay as they are."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Rotation (3, 3) in degrees: yaw about y (turns z to x), pitch about x (turns y to z), roll about z;
    roll first."""
    angles = np.deg2rad([yaw, pitch, roll])
    (cy, cp, cr), (sy, sp, sr) = np.cos(angles), np.sin(angles)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def smoothstep(low: float, high: float, values: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def lay_on_ball(vertices: np.ndarray, ball: np.ndarray, lids: np.ndarray) -> None:
    """Lift those of the `lids` out of an eyeball that have sunk into its front, in place: vertices (V, 3), and the
    numbers of the ball's and the lids' vertices."""
    center = vertices[ball].mean(axis=0)
    offset = (vertices[lids] - center) / np.linalg.norm(vertices[ball] - center, axis=1).max()
    distance = np.linalg.norm(offset, axis=1)
    lift = np.maximum(np.interp(distance, *_LID_DISTANCES) / distance - 1, 0) * (distance < _LID_DISTANCES[0][1])
    lift *= smoothstep(*_LID_FRONT, offset[:, 2] / distance)
    vertices[lids] += (vertices[lids] - center) * lift[:, None]
