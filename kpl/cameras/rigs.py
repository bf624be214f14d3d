"""Three cameras about a face, and what they see of it. The shapes are enough: nothing is rendered."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

# As people put cameras up: degrees, and one over a distance in canonical units (40 cm to 1.4 m).
SIDE_YAWS, PITCH, ROLL, NEARNESS = (15.0, 60.0), 15.0, 10.0, (0.06, 0.21)
HEAD = 5.0  # degrees that the head itself turns


def project(shapes: Tensor, turns: Tensor, nearness: Tensor) -> Tensor:
    """What cameras of focal length 1 see, x right and y down: (..., L, 2).

    shapes: (..., L, 3) canonical, the centre of the rig at 0; turns: (..., 3, 3), whose rows are a camera's right, up and
    back, that is, from the face to the camera; nearness: (...,), one over its distance.
    """
    x, y, z = (shapes @ turns.mT).unbind(-1)  # (..., L)
    return torch.stack([x, -y], dim=-1) / (1 - nearness[..., None] * z)[..., None]


def draw(rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Turns (count, 3, 3, 3) and nearness (count, 3) of rigs, no two sides alike."""
    sides = rng.uniform(*SIDE_YAWS, (count, 2))
    yaw = np.stack([sides[:, 0], np.zeros(count), -sides[:, 1]], axis=1) + rng.normal(0, HEAD, (count, 1))
    pitch = rng.uniform(-PITCH, PITCH, (count, 3)) + rng.normal(0, HEAD, (count, 1))
    roll = rng.uniform(-ROLL, ROLL, (count, 3))
    angles = np.stack([roll, pitch, yaw], axis=-1).reshape(-1, 3)
    turns = Rotation.from_euler("ZXY", angles, degrees=True).as_matrix().reshape(count, 3, 3, 3)
    return torch.from_numpy(turns), torch.from_numpy(rng.uniform(*NEARNESS, (count, 3)))
