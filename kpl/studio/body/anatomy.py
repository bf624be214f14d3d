"""The studio's anatomy: everything about heads that does not depend on the subject."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kpl import landmarks
from kpl.studio.mesh.parts import Part


@dataclass(frozen=True)
class Anatomy:
    """Arrays only, so that one npz holds it. V mesh vertices, W >= V render vertices (shells added), F
    triangles.

    vertices (V, 3) dm; shapes (S, V, 3) float16 and their labels (S,); landmark_vertices, landmark_weights
    (106, K); head_triangles, clothes_triangles (., 3): the surfaces that normals are taken from;
    triangles (F, 3) into render vertices, part (F,), triangle_uv (F, 3, 2) atlas coordinates 0..1, v down;
    left_lid_vertices, right_lid_vertices: the skin that can touch an eyeball;
    hair_vertices, band_vertices: the mesh vertices under the two shells, which follow the mesh in this order.
    arm_share (V,): how much a vertex moves with an arm, 0..1.
    reference (W, 3): positions of the reference head, origin between the eyes in x and y (dm);
    reference_landmarks; height_over_hairline, band_offset (W,) dm; openness (W,): the share of ambient light
    that reaches the vertex. atlas_position (H, A, 3): reference position of each texel; lips, eyelids, ears
    (H, A): masks 0..1.
    """

    vertices: np.ndarray
    shapes: np.ndarray
    labels: np.ndarray
    landmark_vertices: np.ndarray
    landmark_weights: np.ndarray
    head_triangles: np.ndarray
    clothes_triangles: np.ndarray
    left_eye_vertices: np.ndarray
    right_eye_vertices: np.ndarray
    left_lid_vertices: np.ndarray
    right_lid_vertices: np.ndarray
    teeth_vertices: np.ndarray
    triangles: np.ndarray
    part: np.ndarray
    triangle_uv: np.ndarray
    hair_vertices: np.ndarray
    band_vertices: np.ndarray
    arm_share: np.ndarray
    reference: np.ndarray
    reference_landmarks: np.ndarray
    height_over_hairline: np.ndarray
    band_offset: np.ndarray
    openness: np.ndarray
    atlas_position: np.ndarray
    lips: np.ndarray
    eyelids: np.ndarray
    ears: np.ndarray

    @cached_property
    def label_list(self) -> list[str]:
        """The labels as plain strings."""
        return [str(label) for label in self.labels]

    @cached_property
    def label_index(self) -> dict[str, int]:
        """The row of each label in `shapes`."""
        return {label: i for i, label in enumerate(self.label_list)}

    @cached_property
    def tongue_vertices(self) -> np.ndarray:
        """The tongue's vertices."""
        return np.unique(self.triangles[self.part == Part.TONGUE])

    @cached_property
    def muzzle_vertices(self) -> np.ndarray:
        """The skin vertices around the mouth, before the teeth."""
        skin = np.unique(self.triangles[self.part == Part.SKIN])
        skin = skin[skin < len(self.vertices)]
        x, y, z = (self.reference[skin] - self.reference_landmarks[landmarks.index("lip_inner_upper_mid")]).T
        return skin[(np.abs(x) < 0.4) & (np.abs(y) < 0.3) & (z > -0.25)]

    def displacement(self, weights: dict[str, float]) -> np.ndarray:
        """The weighted sum of shapes, (V, 3) dm. Raises KeyError for an unknown label."""
        rows = np.array([self.label_index[label] for label in weights], int)
        flat = self.shapes[rows].reshape(len(rows), self.vertices.size).astype(np.float32)
        return (np.array(list(weights.values()), np.float32) @ flat).reshape(self.vertices.shape)

    def surface_points(self, vertices: np.ndarray) -> np.ndarray:
        """The landmarks' barycentric points (106, 3) on mesh vertices (V, 3)."""
        return (vertices[self.landmark_vertices] * self.landmark_weights[..., None]).sum(axis=1)
