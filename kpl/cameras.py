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

from kpl.landmarks import COUNT, mirror_points

COMPONENTS = 60
FIRST_YAWS = torch.tensor([28.0, 0.0, -28.0])  # degrees, from where the search starts: the competition's rig
CAMERA = 8  # unknowns of one: a quaternion, the logarithm of the focal length, a shift, the nearness
NEARNESS, ITS_SCATTER = 0.1, 0.04  # one over the distance, canonical units
WIDTH = 0.45  # of a map, which its landmark's error usually is
GIVEN = 0.06  # error of a landmark of which nobody says how uncertain it is, in RMS radii of the view's landmarks
ROBUST = 1.0  # such errors from where on they count linearly
OWN_WAY = 0.25  # of what a landmark is off the fitted face is the face's own: shapes have more ways than components
BOLDNESS = 1.05  # a view's errors are alike, not independent: shapes come out timid, by so much on held-out samples
STEPS, BATCH = 8, 32
ENOUGH = 1e-6  # share of the cost: a step that gains no more is not made
TINY = 1e-5  # by which each unknown is moved to see what it does
SMALLEST_SCALE = 1e-4  # canonical units, so that no residual is divided by zero


class Shapes(NamedTuple):
    """How shapes differ; canonical frame."""

    mean: Tensor  # (106, 3)
    scale: Tensor  # (106, 3) standard deviation of each coordinate
    modes: Tensor = torch.zeros(COMPONENTS, COUNT, 3)  # principal components, as long as shapes scatter along them


class Fit(NamedTuple):
    """What was found for N samples. Whatever is of an absent view is NaN."""

    shapes: Tensor  # (N, 106, 3) canonical frame
    spread: Tensor  # (N, 106) how far off each landmark may be by the curvature at the end, RMS length in these units
    yaw: Tensor  # (N, 3) degrees: where each camera stands, as the face sees it; positive where the nose points right
    pitch: Tensor  # (N, 3) degrees, positive from above
    points2d: Tensor  # (N, 3, 106, 2) where the landmarks are, in the given unit: mostly where the fitted face shows them
    residual: Tensor  # (N, 3, 106) distance of given and fitted landmarks, in units of what their doubt lets expect


def known_shapes(points3d: np.ndarray) -> Shapes:
    """Of shapes (N, 106, 3) and their mirror images, in single precision."""
    points3d = np.concatenate([points3d, mirror_points(points3d)])
    pca = PCA(min(COMPONENTS, len(points3d) - 1), svd_solver="full").fit(points3d.reshape(len(points3d), -1))
    modes = np.zeros((COMPONENTS, *points3d.shape[1:]))
    modes[: len(pca.components_)] = (pca.components_ * np.sqrt(pca.explained_variance_)[:, None]).reshape(-1, COUNT, 3)
    parts = points3d.mean(axis=0), points3d.std(axis=0) + SMALLEST_SCALE, modes
    return Shapes(*(torch.from_numpy(part).float() for part in parts))


def normalised(points2d: Tensor) -> Tensor:
    """Each view's points with centroid 0 and RMS radius 1, however a face was cropped. (..., L, 2)."""
    return (points2d - points2d.mean(dim=-2, keepdim=True)) / radius(points2d)[..., None, None]


def radius(points2d: Tensor) -> Tensor:
    """RMS distance of points (..., L, 2) from their centroid: (...)."""
    return points2d.var(dim=-2, correction=0).sum(dim=-1).sqrt().clamp_min(1e-3)


@torch.no_grad()
def fit(points2d: Tensor, doubt: Tensor | None, shapes: Shapes) -> Fit:
    """points2d: (N, 3, 106, 2) in any unit, x right and y down, NaN in an absent view; doubt: (N, 3, 106), how wide the map
    of each is, in that unit, or None: each is off by GIVEN. In double precision, on the CPU."""
    if doubt is None:
        doubt = (GIVEN / WIDTH * radius(points2d))[..., None].expand(points2d.shape[:3])
    shapes = Shapes(*(part.double().cpu() for part in shapes))
    batches = zip(*(part.double().cpu().split(BATCH) for part in (points2d, doubt)))
    return Fit(*map(torch.cat, zip(*(_fit(*batch, shapes.mean, shapes.modes) for batch in batches))))


def _fit(points2d: Tensor, doubt: Tensor, mean: Tensor, modes: Tensor) -> Fit:
    there = points2d.isfinite().all(dim=3).all(dim=2)[..., None]  # (N, 3, 1)
    points = torch.where(there[..., None], normalised(points2d), 0.0)
    weight = torch.where(there, radius(points2d)[..., None] / (WIDTH * doubt.clamp_min(1e-9)), 0.0)  # (N, 3, 106)
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
        gain, old = 1 - found[-1] / cost, (state, damping * 6, shapes, left, cost)
        better = gain > ENOUGH
        state, damping, shapes, left, cost = (
            torch.where(better.view(-1, *[1] * (one.dim() - 1)), new, one) for new, one in zip(found, old)
        )
    variance = torch.linalg.inv(normal + 1e-6 * torch.eye(len(precision)).to(normal))[:, : len(modes), : len(modes)]
    spread = torch.einsum("nkl,kpx,lpx->np", variance, modes, modes).clamp_min(0).sqrt()
    _, cameras = unpacked(state)
    projected = torch.where(there[..., None], seen(shapes[:, None], cameras), torch.nan)
    residual = torch.where(there, left.norm(dim=3), torch.nan)
    fitted = projected * radius(points2d)[..., None, None] + points2d.mean(dim=2, keepdim=True)
    back = torch.where(there, turns(cameras[..., :4])[..., 2, :], torch.nan)  # (N, 3, 3)
    yaw, pitch = torch.atan2(-back[..., 0], back[..., 2]).rad2deg(), torch.asin(back[..., 1]).rad2deg()
    return Fit(mean + BOLDNESS * (shapes + centre - mean), spread, yaw, pitch, fitted.lerp(points2d, OWN_WAY), residual)


def unpacked(state: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of the components (..., 60) and the cameras (..., 3, CAMERA)."""
    return state[..., : -3 * CAMERA], state[..., -3 * CAMERA :].unflatten(-1, (3, CAMERA))


def prior(like: Tensor) -> tuple[Tensor, Tensor]:
    """What each unknown is expected to be, and one over its variance, 0 where nothing is known: (84,) each."""
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
    """How `seen` landmarks (N, 3, 106, 2) move with each unknown: (N, 3, 106, 2, 84). By central differences, which, unlike
    one-sided ones, are mirrored to the last digit where a face is."""
    shapes, cameras = shapes[:, None, None], unpacked(state)[1][:, :, None]
    steps = TINY * torch.eye(CAMERA).to(state)
    along = [seen(shapes + way * steps[:3, None, :3], cameras) for way in (1, -1)]  # (N, 3, 3, 106, 2), by x, y, z
    turned = [seen(shapes, cameras + way * steps) for way in (1, -1)]  # (N, 3, 8, 106, 2)
    by_shape, by_camera = ((ahead - back) / (2 * TINY) for ahead, back in (along, turned))
    moves = state.new_zeros(*by_camera[:, :, 0].shape, state.shape[1])
    moves[..., :COMPONENTS] = torch.einsum("nvxlp,klx->nvlpk", by_shape, modes)
    for view in range(3):
        unpacked(moves)[1][:, view, :, :, view] = by_camera[:, view].movedim(1, -1)
    return moves
