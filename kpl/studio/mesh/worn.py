"""What is put on a head as meshes of its own: locks of hair, glasses, collars and hoods.

They are made once for a subject, on the head at rest, and move with the head's pose.
"""

from dataclasses import dataclass

import numpy as np

from kpl.studio.mesh.geometry import unit, vertex_normals
from kpl.studio.mesh.parts import Part


@dataclass(frozen=True)
class Worn:
    """vertices, normals (N, 3) beside the head at rest (dm); triangles (M, 3), part (M,), pattern (M, 3, 2);
    reference (N, 3): for locks the direction in which the hair runs, else the position from between the eyes;
    openness (N,): the share of ambient light that arrives."""

    vertices: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray
    part: np.ndarray
    pattern: np.ndarray
    reference: np.ndarray
    openness: np.ndarray


def nothing() -> Worn:
    """Nothing worn."""
    points, corners = np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    return Worn(points, points, corners, np.zeros(0, np.int32), np.zeros((0, 3, 2), np.float32), points, points[:, 0])


def sheet(grid: np.ndarray, part: Part, eyes: np.ndarray, openness: float = 0.8, closed: bool = False) -> Worn:
    """A surface through a grid of points (rows, columns, 3); `closed` joins the last column to the first."""
    rows, columns = grid.shape[:2]
    triangles = grid_triangles(rows, columns, closed)
    vertices = grid.reshape(-1, 3).astype(np.float32)
    return Worn(
        vertices,
        vertex_normals(vertices, triangles),
        triangles,
        np.full(len(triangles), part, np.int32),
        np.zeros((len(triangles), 3, 2), np.float32),
        (vertices - eyes).astype(np.float32),
        np.full(len(vertices), openness, np.float32),
    )


def tube(path: np.ndarray, radii: np.ndarray | float, part: Part, eyes: np.ndarray, closed: bool = False) -> Worn:
    """A tube of six sides along points (n, 3); radii in dm: one, (n,), or (n, 2) for a flat tube, sideways and
    upwards."""
    ahead = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)
    if not closed:
        ahead[0], ahead[-1] = path[1] - path[0], path[-1] - path[-2]
    ahead = unit(ahead)
    helper = np.where(np.abs(ahead[:, 2:]) > 0.8, [[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]])
    across = unit(np.cross(ahead, helper))
    up = np.cross(across, ahead)
    radii = np.asarray(radii, float)
    width = np.broadcast_to(radii[:, None] if radii.ndim == 1 else radii, (len(path), 2))
    angle = np.arange(6) * np.pi / 3
    ring = across[:, None] * np.cos(angle)[:, None] * width[:, :1, None]
    ring = ring + up[:, None] * np.sin(angle)[:, None] * width[:, 1:, None]
    grid = path[:, None] + ring
    if closed:
        grid = np.concatenate([grid, grid[:1]])
    return sheet(grid, part, eyes, closed=True)


def grid_triangles(rows: int, columns: int, closed: bool = False) -> np.ndarray:
    """Triangles (F, 3) between the points of a grid, numbered row by row."""
    down, right = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij")
    beside = (right + 1) % columns
    a, b = down * columns + right, down * columns + beside
    c, d = a + columns, b + columns
    quads = np.stack([np.stack([a, c, b], axis=-1), np.stack([b, c, d], axis=-1)], axis=-2)
    return quads.reshape(-1, 3).astype(np.int32)


def together(pieces: list[Worn]) -> Worn:
    """Several pieces as one."""
    pieces = [piece for piece in pieces if len(piece.vertices)] or [nothing()]
    first = np.cumsum([0, *(len(piece.vertices) for piece in pieces)])
    triangles = [piece.triangles + start for piece, start in zip(pieces, first, strict=False)]
    joined = {
        name: np.concatenate([getattr(piece, name) for piece in pieces])
        for name in ("vertices", "normals", "part", "pattern", "reference", "openness")
    }
    return Worn(triangles=np.concatenate(triangles).astype(np.int32), **joined)
