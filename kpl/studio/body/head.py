"""A subject's head with an expression on: surface, eyes, landmarks. No pose yet: it looks along +z, in
decimetres."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from kpl import landmarks
from kpl.studio.body.anatomy import Anatomy
from kpl.studio.body.arms import relax_arms
from kpl.studio.body.hair import draw_style, shell_thickness
from kpl.studio.body.people import Subject
from kpl.studio.mesh.geometry import lay_on_ball, vertex_normals
from kpl.studio.mesh.worn import Worn

# The canonical frame of the competition, read off its mean shape.
_EYES = landmarks.MEAN_SHAPE[list(landmarks.EYE_CENTERS)]
_EYE_MIDPOINT = _EYES.mean(axis=0)
# How MakeHuman's head at rest is turned against the competition's mean shape: found by fitting; what
# is left of it, about a degree, the population's warp takes up (see kpl.studio.body.population).
_TILT_DEGREES = 5.2

_TONGUE_BACK = np.array([0.0, 0.06, 0.13])  # dm: the tongue lies behind and below the lower teeth
_TEETH_DEPTH = 0.045  # dm from the skin to the front of the teeth, at least


@dataclass(frozen=True)
class Head:
    """vertices, normals (W, 3) of the render mesh; landmarks (106, 3); eye_centers, gaze (2, 3), left eye
    first."""

    vertices: np.ndarray
    normals: np.ndarray
    landmarks: np.ndarray
    eye_centers: np.ndarray
    gaze: np.ndarray

    def wearing(self, worn: Worn) -> "Head":
        """With the meshes of what is worn added behind its own."""
        return replace(
            self,
            vertices=np.concatenate([self.vertices, worn.vertices]),
            normals=np.concatenate([self.normals, worn.normals]),
        )

    def posed(self, rotation: np.ndarray, pivot: np.ndarray, shift: np.ndarray) -> "Head":
        """Turned about `pivot` (3,) by `rotation` (3, 3), then moved by `shift` (3,)."""

        def move(points: np.ndarray) -> np.ndarray:
            return ((points - pivot) @ rotation.T + pivot + shift).astype(points.dtype)

        turn = rotation.T.astype(np.float32)
        return replace(
            self,
            vertices=move(self.vertices),
            normals=self.normals @ turn,
            landmarks=move(self.landmarks),
            eye_centers=move(self.eye_centers),
            gaze=self.gaze @ rotation.T,
        )


def shape_head(anatomy: Anatomy, subject: Subject, rest: np.ndarray, actions: dict[str, float]) -> Head:
    """The head of `subject`; `rest` (V, 3) are its vertices without expression, `actions` the expression's
    weights."""
    vertices = _with_expression(anatomy, rest, actions)
    skin_normals = vertex_normals(vertices, anatomy.head_triangles)
    points, centers, gaze = _landmarks(anatomy, vertices, rest)
    dressed = _inflate_clothes(anatomy, vertices, subject)
    dressed[anatomy.teeth_vertices, 2] -= _teeth_setback(anatomy, rest)
    dressed[anatomy.tongue_vertices] -= _TONGUE_BACK
    hair, band = _shells(anatomy, subject)
    shells = [
        vertices[under] + skin_normals[under] * height[:, None]
        for under, height in ((anatomy.hair_vertices, hair), (anatomy.band_vertices, band))
    ]
    render = np.concatenate([dressed, *shells]).astype(np.float32)
    normals = vertex_normals(render, anatomy.triangles)
    on_skin = np.flatnonzero(np.linalg.norm(skin_normals, axis=1) > 0.5)
    normals[on_skin] = skin_normals[on_skin]  # teeth and shells must not bend the skin's normals
    return Head(render, normals, points, centers, gaze)


def landmark_points(anatomy: Anatomy, rest: np.ndarray, actions: dict[str, float]) -> np.ndarray:
    """The landmarks (106, 3) alone of a head with `rest` (V, 3) and an expression, its lids not laid on the eyeballs:
    linear in the shapes, so that the population can be fitted."""
    return _landmarks(anatomy, rest + anatomy.displacement(actions), rest)[0]


def _with_expression(anatomy: Anatomy, rest: np.ndarray, actions: dict[str, float]) -> np.ndarray:
    """The vertices (V, 3) with an expression on. Lids lie on the eyeballs: sums of shapes would sink them in."""
    vertices = rest + anatomy.displacement(actions)
    for ball, lids in (
        (anatomy.left_eye_vertices, anatomy.left_lid_vertices),
        (anatomy.right_eye_vertices, anatomy.right_lid_vertices),
    ):
        lay_on_ball(vertices, ball, lids)
    return vertices


def rest_vertices(anatomy: Anatomy, subject: Subject) -> np.ndarray:
    """The subject's vertices (V, 3) without expression."""
    vertices = anatomy.vertices + anatomy.displacement(subject.weights)
    return relax_arms(anatomy, subject, vertices)


def canonical_transform(points: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The similarity (scale, rotation (3, 3), translation (3,)) from a head without pose to the canonical
    frame.

    The rule, for landmarks (106, 3) before the head's pose is applied and with the expression on: turn by a
    constant tilt that stands MakeHuman's head as the competition's mean shape stands; scale so that the eye
    centres are as far apart as the mean shape's; move their midpoint to the mean shape's. canonical = scale *
    rotation @ point + translation.

    The competition's eye centres stray by less than 0.01, less than people's pupil distances do (about 5 %): its frame
    must take size and place from the eyes as this rule does. Whatever the face does below or above them is left in.
    """
    tilt = np.deg2rad(_TILT_DEGREES)
    rotation = np.array([[1, 0, 0], [0, np.cos(tilt), np.sin(tilt)], [0, -np.sin(tilt), np.cos(tilt)]])
    eyes = points[list(landmarks.EYE_CENTERS)]
    scale = landmarks.EYE_DISTANCE / float(np.linalg.norm(eyes[0] - eyes[1]))
    return scale, rotation, _EYE_MIDPOINT - scale * rotation @ eyes.mean(axis=0)


def to_canonical(points: np.ndarray) -> np.ndarray:
    """Landmarks (106, 3) of a head without pose, in the canonical frame (see `canonical_transform`)."""
    scale, rotation, translation = canonical_transform(points)
    return scale * points @ rotation.T + translation


def _landmarks(anatomy: Anatomy, vertices: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, ...]:
    """Landmarks (106, 3), eyeball centres (2, 3) and gaze directions (2, 3).

    An eye's landmark stands at the front pole of the eyeball at rest, whatever the gaze; the pupil's follows
    the gaze. (MakeHuman's eyeballs turn about a point behind their centre: they move as they look aside.)
    """
    points = anatomy.surface_points(vertices)
    centers, gazes = [], []
    for eye, pupil, ball in zip(
        landmarks.EYE_CENTERS, landmarks.PUPILS, (anatomy.left_eye_vertices, anatomy.right_eye_vertices), strict=True
    ):
        center = vertices[ball].mean(axis=0)
        resting = rest[ball].mean(axis=0)
        radius = np.linalg.norm(rest[ball] - resting, axis=1).max()
        gaze = points[pupil] - center  # the barycentric point is the middle of the iris ring
        gaze /= np.linalg.norm(gaze)
        points[eye] = resting + [0, 0, radius]
        points[pupil] = center + radius * gaze
        centers.append(center)
        gazes.append(gaze)
    return points, np.array(centers), np.array(gazes)


def _teeth_setback(anatomy: Anatomy, rest: np.ndarray) -> float:
    """How far (dm) the teeth have to go back to lie behind the lips, whose shape they do not follow."""
    teeth, skin = rest[anatomy.teeth_vertices], rest[anatomy.muzzle_vertices]
    _, nearest = cKDTree(skin[:, :2]).query(teeth[:, :2])
    return max(float((teeth[:, 2] - skin[nearest, 2]).max()) + _TEETH_DEPTH, 0.0)


def _shells(anatomy: Anatomy, subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """How far the hair and the headband stand off the skin (dm), at each of their vertices."""
    rng = subject.generator("hair")
    longest = rng.uniform(0.12, 0.45) if subject.male else rng.uniform(0.15, 0.5)
    longest *= shell_thickness(draw_style(subject))
    phase = rng.uniform(0, 6, 3)
    first = len(anatomy.vertices)
    x, y, z = anatomy.reference[anatomy.hair_vertices].T
    height = anatomy.height_over_hairline[first : first + len(anatomy.hair_vertices)]
    waves = 0.5 + 0.25 * np.sin(x * 5 + phase[0]) * np.sin(z * 4 + phase[1]) + 0.25 * np.sin(y * 7 + phase[2] + x * 3)
    hair = (
        longest * np.clip(height / 0.25 + 0.1, 0.03, 1) * (0.35 + 0.65 * np.clip(y / 1.1, 0, 1)) * (0.7 + 0.6 * waves)
        + 0.008
    )
    on_mesh = np.zeros(first)
    on_mesh[anatomy.hair_vertices] = hair
    return hair, on_mesh[anatomy.band_vertices] * 0.45 + 0.035


def _inflate_clothes(anatomy: Anatomy, vertices: np.ndarray, subject: Subject) -> np.ndarray:
    thickness = 0.06 + 0.05 * subject.generator("clothes").random()
    normals = vertex_normals(vertices, anatomy.clothes_triangles)  # zero everywhere else
    return vertices + thickness * normals
