"""MakeHuman stands with its arms spread; people before a camera let them hang."""

import numpy as np

from kpl.studio.body.anatomy import Anatomy
from kpl.studio.body.people import Subject


def relax_arms(anatomy: Anatomy, subject: Subject, vertices: np.ndarray) -> np.ndarray:
    """Mesh vertices (V, 3) with the arms lowered about the shoulders: each vertex turns by its share in the arm, so
    that shoulders slope smoothly."""
    rng = subject.generator("arms")
    result = vertices.copy()
    for side in (-1, 1):
        share = anatomy.arm_share * (vertices[:, 0] * side > 0)
        joint = vertices[(share > 0.3) & (share < 0.7)].mean(axis=0)
        angle = -side * np.deg2rad(rng.uniform(30, 42)) * share
        x, y = (vertices[:, :2] - joint[:2]).T
        result[:, 0] = np.where(share > 0, joint[0] + x * np.cos(angle) - y * np.sin(angle), result[:, 0])
        result[:, 1] = np.where(share > 0, joint[1] + x * np.sin(angle) + y * np.cos(angle), result[:, 1])
    return result
