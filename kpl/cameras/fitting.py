"""A face's shape and the three cameras that saw it, from 2D landmarks alone: no rig is known beforehand.

A shape is the mean of training shapes plus their principal components (Blanz and Vetter 1999). All are fitted at once, by
Levenberg and Marquardt's method on robust residuals (Huber 1964), with the components' own scatter as the prior: without
one, three unknown cameras leave the depth open.
"""

from typing import NamedTuple

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor
from torch.func import jacfwd, vmap

from kpl.cameras.rigs import project
from kpl.landmarks import COUNT

COMPONENTS = 40
FIRST_YAWS = torch.tensor([28.0, 0.0, -28.0])  # degrees, from where the search starts: the competition's rig
CAMERA = 8  # unknowns of one: a quaternion, the logarithm of the focal length, a shift, the nearness
NEARNESS, ITS_SCATTER = 0.1, 0.04  # canonical units
NOISE = 0.07  # usual error of a network's landmark, in RMS radii of a view's landmarks
ROBUST = 2.0  # such errors from where on they count linearly
STEPS, BATCH = 8, 32


class Fit(NamedTuple):
    """What was found for N samples."""

    shapes: Tensor  # (N, 106, 3) canonical frame
    yaw: Tensor  # (N, 3) degrees: from where each camera sees the face; positive where the nose points right
    pitch: Tensor  # (N, 3) degrees, positive from above
    residual: Tensor  # (N, 3) RMS distance of given and fitted landmarks, in RMS radii of a view's; NaN of absent views


def components(shapes: np.ndarray) -> np.ndarray:
    """The principal components (40, 106, 3) of shapes (N, 106, 3), each as long as the shapes scatter along it; zero
    beyond what so few shapes have."""
    count = min(COMPONENTS, len(shapes) - 1)
    pca = PCA(count, svd_solver="full").fit(shapes.reshape(len(shapes), -1))
    found = pca.components_ * np.sqrt(pca.explained_variance_)[:, None]
    return np.concatenate([found, np.zeros((COMPONENTS - count, COUNT * 3))]).reshape(-1, COUNT, 3)


def normalised(points2d: Tensor) -> Tensor:
    """Each view's points with centroid 0 and RMS radius 1, however a face was cropped. (..., L, 2)."""
    centred = points2d - points2d.mean(dim=-2, keepdim=True)
    radius = centred.square().sum(dim=-1, keepdim=True).mean(dim=-2, keepdim=True).sqrt()
    return centred / radius.clamp_min(1e-3)


@torch.no_grad()
def fit(points2d: Tensor, doubt: Tensor, present: Tensor, mean: Tensor, modes: Tensor) -> Fit:
    """points2d: (N, 3, 106, 2) in any unit, x right and y down; doubt: (N, 3, 106), how uncertain each is, in any unit;
    present: (N, 3) bool; mean (106, 3) and modes (40, 106, 3): of shapes, see `components`. In double precision."""
    batches = zip(*(part.double().cpu().split(BATCH) for part in (points2d, doubt, present)))
    found = [_fit(*batch, mean.double().cpu(), modes.double().cpu()) for batch in batches]
    return Fit(*map(torch.cat, zip(*found)))


def _fit(points2d: Tensor, doubt: Tensor, present: Tensor, mean: Tensor, modes: Tensor) -> Fit:
    points = torch.where(present[..., None, None] > 0, normalised(points2d), 0.0)
    certain = (doubt.mean(dim=(1, 2), keepdim=True) / doubt.clamp_min(1e-9)).clamp(0.2, 5)
    weight = present[..., None] * certain / NOISE  # (N, 3, 106)
    centre = mean.mean(dim=0)
    expected, precision = prior(mean)

    def compared(state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Shapes (N, 106, 3), what is left of the landmarks (N, 3, 106, 2), in deviations, and the cost (N,)."""
        own, cameras = unpacked(state)
        shapes = mean - centre + torch.tensordot(own, modes, 1)
        left = (points - seen(shapes[:, None], cameras)) * weight[..., None]
        far = left.norm(dim=3)
        huber = torch.where(far < ROBUST, far.square(), 2 * ROBUST * far - ROBUST**2).sum(dim=(1, 2))
        return shapes, left, huber + ((state - expected).square() * precision).sum(dim=1)

    state, damping = first_state(points, mean - centre), mean.new_full((len(points), 1), 1e-2)
    shapes, left, cost = compared(state)
    for _ in range(STEPS):
        counted = weight * (ROBUST / left.norm(dim=3).clamp_min(ROBUST)).sqrt()  # (N, 3, 106)
        slope = (slopes(shapes, state, modes) * counted[..., None, None]).flatten(1, 3)  # (N, 636, 64)
        pull = slope.mT @ (left * (counted / weight.clamp_min(1e-9))[..., None]).reshape(len(left), -1, 1)
        pull = pull[..., 0] + (expected - state) * precision
        normal = slope.mT @ slope + precision.diag()
        step = torch.linalg.solve(normal + torch.diag_embed(normal.diagonal(dim1=1, dim2=2) * damping + 1e-6), pull)
        tried = state + step
        better = (compared(tried)[2] < cost)[:, None]
        state, damping = torch.where(better, tried, state), torch.where(better, damping / 4, damping * 6)
        shapes, left, cost = compared(state)
    found, (_, cameras) = shapes + centre, unpacked(state)
    residual = (points - seen(shapes[:, None], cameras)).square().sum(dim=3).mean(dim=2).sqrt()
    back = turns(cameras[..., :4])[..., 2, :]  # (N, 3, 3)
    yaw, pitch = torch.atan2(-back[..., 0], back[..., 2]).rad2deg(), torch.asin(back[..., 1]).rad2deg()
    return Fit(found, *(torch.where(present > 0, part, torch.nan) for part in (yaw, pitch, residual)))


def prior(like: Tensor) -> tuple[Tensor, Tensor]:
    """What each unknown is expected to be, and how surely (one over its variance, 0 where nothing is known): (64,) both."""
    camera = like.new_tensor([0, 0, 0, 0, 0, 0, 0, NEARNESS]), like.new_tensor([0, 0, 0, 0, 0, 0, 0, ITS_SCATTER**-2])
    own = like.new_zeros(COMPONENTS), like.new_ones(COMPONENTS)
    return tuple(torch.cat([first, last.repeat(3)]) for first, last in zip(own, camera))


def slopes(shapes: Tensor, state: Tensor, modes: Tensor) -> Tensor:
    """How landmarks (N, 3, 106, 2) move with each unknown: (N, 3, 106, 2, 64). A landmark moves as it would if all of the
    shape were shifted, and with its own camera alone."""
    _, cameras = unpacked(state)
    unknown = torch.cat([torch.zeros_like(cameras[..., :3]), cameras], dim=-1)  # (N, 3, 3 + CAMERA)
    one = lambda shape, unknown: seen(shape + unknown[:3], unknown[3:])
    moves = vmap(vmap(jacfwd(one, argnums=1), (None, 0)))(shapes, unknown)  # (N, 3, 106, 2, 3 + CAMERA)
    all_moves = [torch.einsum("nvlpx,klx->nvlpk", moves[..., :3], modes)]
    for view in range(3):
        own = torch.zeros_like(moves[..., 3:])
        own[:, view] = moves[:, view, ..., 3:]
        all_moves.append(own)
    return torch.cat(all_moves, dim=-1)


def unpacked(state: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of the components (..., 40) and the cameras (..., 3, CAMERA)."""
    return state[..., :COMPONENTS], state[..., COMPONENTS:].unflatten(-1, (3, CAMERA))


def seen(shapes: Tensor, cameras: Tensor) -> Tensor:
    """Where cameras (..., CAMERA) see the landmarks of centred shapes (..., 106, 3): (..., 106, 2)."""
    points = project(shapes, turns(cameras[..., :4]), cameras[..., 7])
    return cameras[..., 4].exp()[..., None, None] * points + cameras[..., None, 5:7]


def turns(quaternions: Tensor) -> Tensor:
    """The rotations (..., 3, 3) of quaternions (..., 4), real part first, of any length."""
    w, x, y, z = (quaternions / quaternions.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)]
    rows += [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)]
    rows += [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def first_state(points: Tensor, mean: Tensor) -> Tensor:
    """The mean shape, seen from FIRST_YAWS, as large as the views' normalised points (N, 3, 106, 2) are."""
    half = FIRST_YAWS.double().deg2rad() / 2
    zero, near = torch.zeros(3).double(), torch.full((3,), NEARNESS).double()
    cameras = torch.stack([half.cos(), zero, half.sin(), zero, zero, zero, zero, near], dim=1)
    size = seen(mean, cameras).square().sum(dim=2).mean(dim=1).sqrt()
    cameras[:, 4] = -size.log()
    return torch.cat([torch.zeros(COMPONENTS).double(), cameras.flatten()]).repeat(len(points), 1)
