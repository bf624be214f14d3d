"""What training does to the three crops of a sample: geometry, colour, blur, noise, hidden patches, mirroring.

Turns, shifts and scalings are one cv2.warpAffine a view, light and colour one 3 x 4 matrix: they happen to nearly every
view, and their cost is taken from the training on the same core. The rarer changes are albumentations' (MIT).
"""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no version check over the network

import albumentations as A
import cv2
import numpy as np

from kpl.landmarks import mirror_points, mirror_points2d

cv2.setNumThreads(0)  # OpenCV's threads fight with the loader's
SIDES_EXCHANGED = [2, 1, 0]
# The geometry's largest changes and how often it happens.
TURN, SCALE, SHIFT, MOVED = 10.0, 0.1, 0.04, 0.9  # degrees, share, share of the side, probability
LIGHT, CONTRAST, LIT = 0.25, 0.25, 0.7
HUE, SATURATION, VALUE, COLOURED = 20.0, 0.15, 0.04, 0.4  # degrees on the colour circle, shares
SPOILED = 0.44
LUMA = np.array([0.299, 0.587, 0.114])


def spoiling() -> A.Compose:
    """Blur, noise or hidden patches: one of them."""
    side = (0.05, 0.2)
    patches = A.CoarseDropout(num_holes_range=(1, 2), hole_height_range=side, hole_width_range=side, p=0.2)
    blur, noise = A.GaussianBlur(blur_limit=(3, 3), p=0.15), A.GaussNoise(std_range=(0.01, 0.05), p=0.15)
    return A.Compose([A.OneOf([blur, noise, patches], p=1.0)], seed=0)


def augmented(
    crops: np.ndarray, side: int, points2d: np.ndarray, rng: np.random.Generator, spoil: A.Compose
) -> tuple[np.ndarray, np.ndarray]:
    """Each crop (3, C, C, 3) at `side` pixels and changed on its own, its points (3, 106, 2) in crop units with it. The
    canonical shape stays what it is. A view of zeros is a missing one, and stays one."""
    views, points = np.zeros((len(crops), side, side, 3), np.uint8), np.array(points2d)
    for view, crop in enumerate(crops):
        if not crop.any():
            continue
        if rng.random() < MOVED:
            move = drawn_move(rng)
            crop, points[view] = moved(crop, side, move), points2d[view] @ move[:, :2].T + move[:, 2]
        views[view] = cv2.transform(resized(crop, side), drawn_colours(rng))
        if rng.random() < SPOILED:
            spoil.set_random_seed(int(rng.integers(2**31)))
            views[view] = spoil(image=views[view])["image"]
    return views, points


def drawn_move(rng: np.random.Generator) -> np.ndarray:
    """An affine map (2, 3) of crop units that scales both axes and turns, about the crop's centre, and shifts."""
    angle = np.deg2rad(rng.uniform(-TURN, TURN))
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]]) * (1 + rng.uniform(-SCALE, SCALE, 2))
    return np.column_stack([turn, 0.5 - turn @ [0.5, 0.5] + rng.uniform(-SHIFT, SHIFT, 2)])


def moved(crop: np.ndarray, side: int, move: np.ndarray) -> np.ndarray:
    """A crop (C, C, 3) at `side` pixels, changed by an affine map (2, 3) of crop units; black comes in from outside."""
    crop = resized(crop, min(side, crop.shape[0]))  # a warp alone would alias
    turn = move[:, :2] * side / crop.shape[0]
    # Crop units count from the picture's edge, OpenCV from the first pixel's centre.
    matrix = np.column_stack([turn, turn @ [0.5, 0.5] + move[:, 2] * side - 0.5])
    return cv2.warpAffine(crop, matrix, (side, side), flags=cv2.INTER_LINEAR)


def drawn_colours(rng: np.random.Generator) -> np.ndarray:
    """A matrix (3, 4) for colours in 0..255: now and then contrast and light, or hue, saturation and value, change."""
    colours, light = np.eye(3), 0.0
    if rng.random() < LIT:
        colours, light = colours * (1 + rng.uniform(-CONTRAST, CONTRAST)), 255 * rng.uniform(-LIGHT, LIGHT)
    if rng.random() < COLOURED:
        kept, value = 1 + rng.uniform(-SATURATION, SATURATION), 1 + rng.uniform(-VALUE, VALUE)
        grey = np.tile(LUMA, (3, 1))
        colours = value * hue_turn(rng.uniform(-HUE, HUE)) @ (grey + kept * (np.eye(3) - grey)) @ colours
    return np.column_stack([colours, np.full(3, light)])


def hue_turn(degrees: float) -> np.ndarray:
    """The rotation (3, 3) of RGB about the grey axis, by Rodrigues' formula."""
    angle = np.deg2rad(degrees)
    axis = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    return np.eye(3) + np.sin(angle) * axis + (1 - np.cos(angle)) * axis @ axis


def mirrored(views: np.ndarray, points3d: np.ndarray, points2d: np.ndarray) -> tuple[np.ndarray, ...]:
    """The mirrored capture: pictures flipped, views 0 and 2 exchanged, landmarks mirrored and renamed. Its own
    inverse."""
    flipped = np.ascontiguousarray(views[SIDES_EXCHANGED, :, ::-1])
    return flipped, mirror_points(points3d), mirror_points2d(points2d[SIDES_EXCHANGED])


def resized(view: np.ndarray, side: int) -> np.ndarray:
    """A crop (S, S, 3) at `side` pixels."""
    view = np.asarray(view)
    if len(view) == side:
        return view
    return cv2.resize(view, (side, side), interpolation=cv2.INTER_AREA if side < len(view) else cv2.INTER_CUBIC)
