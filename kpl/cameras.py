"""A face's shape and the three cameras that saw it, from 2D landmarks alone: no rig is known beforehand.

A shape is the mean of known shapes plus their principal components (Blanz and Vetter 1999), a camera a perspective from
anywhere. All are fitted at once, by Levenberg and Marquardt's method on robust residuals (Huber 1964), with the components'
own scatter as the prior: without one, three unknown cameras leave the depth open.
"""

from typing import NamedTuple

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor
from torch.func import jacfwd, vmap

from kpl.landmarks import COUNT

COMPONENTS = 40
FIRST_YAWS = torch.tensor([28.0, 0.0, -28.0])  # degrees, from where the search starts: the competition's rig
CAMERA = 8  # unknowns of one: a quaternion, the logarithm of the focal length, a shift, the nearness
NEARNESS, ITS_SCATTER = 0.1, 0.04  # one over the distance, canonical units
NOISE = 0.07  # usual error of a network's landmark, in RMS radii of the view's landmarks
ROBUST = 2.0  # such errors from where on they count linearly
STEPS, BATCH = 8, 32


class Fit(NamedTuple):
    """What was found for N samples. Angles and residuals of absent views are NaN."""

    shapes: Tensor  # (N, 106, 3) canonical frame
    yaw: Tensor  # (N, 3) degrees: where each camera stands, as the face sees it; positive where the nose points right
    pitch: Tensor  # (N, 3) degrees, positive from above
    residual: Tensor  # (N, 3) RMS distance of given and fitted landmarks, in RMS radii of the view's landmarks


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
    there = present[..., None] > 0  # (N, 3, 1)
    points, doubt = torch.where(there[..., None], normalised(points2d), 0.0), torch.where(there, doubt, torch.nan)
    certain = doubt.nanmean(dim=(1, 2), keepdim=True) / doubt.clamp_min(1e-9)
    weight = certain.clamp(0.2, 5).nan_to_num() / NOISE  # (N, 3, 106)
    centre, (expected, precision) = mean.mean(dim=0), prior(mean)

    def compared(state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Centred shapes (N, 106, 3), what they leave of the landmarks (N, 3, 106, 2), in deviations, and the cost (N,)."""
        own, cameras = unpacked(state)
        shapes = mean - centre + torch.tensordot(own, modes, 1)
        left = (points - seen(shapes[:, None], cameras)) * weight[..., None]
        far = left.norm(dim=3)
        huber = torch.where(far < ROBUST, far.square(), 2 * ROBUST * far - ROBUST**2).sum(dim=(1, 2))
        return shapes, left, huber + ((state - expected).square() * precision).sum(dim=1)

    state, damping = first_state(points, mean - centre), mean.new_full((len(points), 1), 1e-2)
    shapes, left, cost = compared(state)
    for _ in range(STEPS):
        share = (ROBUST / left.norm(dim=3).clamp_min(ROBUST))[..., None]  # of each landmark, by Huber's rule
        slope = slopes(shapes, state, modes) * weight[..., None, None]
        normal = (slope * share[..., None]).flatten(1, 3).mT @ slope.flatten(1, 3) + precision.diag()
        pull = ((left * share)[..., None] * slope).sum(dim=(1, 2, 3)) + (expected - state) * precision
        damped = normal + torch.diag_embed(normal.diagonal(dim1=1, dim2=2) * damping + 1e-6)
        tried = state + torch.linalg.solve(damped, pull)
        found = tried, damping / 4, *compared(tried)
        better, old = found[-1] < cost, (state, damping * 6, shapes, left, cost)
        state, damping, shapes, left, cost = (
            torch.where(better.view(-1, *[1] * (one.dim() - 1)), new, one) for new, one in zip(found, old)
        )
    _, cameras = unpacked(state)
    residual = (points - seen(shapes[:, None], cameras)).square().sum(dim=3).mean(dim=2).sqrt()
    back = turns(cameras[..., :4])[..., 2, :]  # (N, 3, 3)
    yaw, pitch = torch.atan2(-back[..., 0], back[..., 2]).rad2deg(), torch.asin(back[..., 1]).rad2deg()
    return Fit(shapes + centre, *(torch.where(present > 0, part, torch.nan) for part in (yaw, pitch, residual)))


def unpacked(state: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of the components (..., 40) and the cameras (..., 3, CAMERA)."""
    return state[..., :COMPONENTS], state[..., COMPONENTS:].unflatten(-1, (3, CAMERA))


def prior(like: Tensor) -> tuple[Tensor, Tensor]:
    """What each unknown is expected to be, and one over its variance, 0 where nothing is known: (64,) each."""
    expected, precision = like.new_zeros(2, COMPONENTS + 3 * CAMERA)
    expected[COMPONENTS + 7 :: CAMERA], precision[COMPONENTS + 7 :: CAMERA] = NEARNESS, ITS_SCATTER**-2
    precision[:COMPONENTS] = 1
    return expected, precision


def first_state(points: Tensor, mean: Tensor) -> Tensor:
    """The mean shape, seen from FIRST_YAWS, as large as the views' normalised points (N, 3, 106, 2) are."""
    half, zero = FIRST_YAWS.to(mean).deg2rad() / 2, mean.new_zeros(3)
    cameras = torch.stack([half.cos(), zero, half.sin(), zero, zero, zero, zero, zero + NEARNESS], dim=1)
    cameras[:, 4] = -seen(mean, cameras).square().sum(dim=2).mean(dim=1).sqrt().log()
    return torch.cat([mean.new_zeros(COMPONENTS), cameras.flatten()]).repeat(len(points), 1)


def seen(shapes: Tensor, cameras: Tensor) -> Tensor:
    """Where cameras (..., CAMERA) see the landmarks of centred shapes (..., 106, 3), x right and y down: (..., 106, 2)."""
    x, y, z = (shapes @ turns(cameras[..., :4]).mT).unbind(-1)
    focal, shift, nearness = cameras[..., 4, None, None].exp(), cameras[..., None, 5:7], cameras[..., 7, None]
    return focal * torch.stack([x, -y], dim=-1) / (1 - nearness * z)[..., None] + shift


def turns(quaternions: Tensor) -> Tensor:
    """The rotations (..., 3, 3) of quaternions (..., 4), real part first, of any length; a camera's rows are its right, its
    up, and the way from the face to it."""
    w, x, y, z = (quaternions / quaternions.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)]
    rows += [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)]
    rows += [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def slopes(shapes: Tensor, state: Tensor, modes: Tensor) -> Tensor:
    """How landmarks (N, 3, 106, 2) move with each unknown: (N, 3, 106, 2, 64). A landmark moves with the shape as it would
    if all of that were shifted, and with its own camera alone."""
    cameras = unpacked(state)[1]
    unknown = torch.cat([torch.zeros_like(cameras[..., :3]), cameras], dim=-1)  # (N, 3, 3 + CAMERA)
    moved = lambda shape, unknown: seen(shape + unknown[:3], unknown[3:])
    moves = vmap(vmap(jacfwd(moved, argnums=1), (None, 0)))(shapes, unknown)  # (N, 3, 106, 2, 3 + CAMERA)
    all_moves = moves.new_zeros(*moves.shape[:-1], state.shape[1])
    all_moves[..., :COMPONENTS] = torch.einsum("nvlpx,klx->nvlpk", moves[..., :3], modes)
    for view in range(3):
        unpacked(all_moves)[1][:, view, :, :, view] = moves[:, view, ..., 3:]
    return all_moves
