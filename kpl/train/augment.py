"""What training does to the three crops of a sample: geometry, colour, blur, noise, hidden patches, mirroring.

`studio` is for pictures like those of training; `photographs` for whatever people hand over: other light, grey, blurred, shrunk,
packed, turned, cut off by a border, one picture unlike the others. Turns, shifts and scalings, which landmarks follow, are one
cv2.warpAffine a view; all else is albumentations' (MIT).
"""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no version check over the network

from typing import NamedTuple

import albumentations as A
import cv2
import numpy as np

from kpl.landmarks import mirror_points, mirror_points2d

cv2.setNumThreads(0)  # OpenCV's threads fight with the loader's
SIDES_EXCHANGED = [2, 1, 0]
MOVED = 0.9  # how often
BORDERS = (cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101)


class Changes(NamedTuple):
    """What happens to a view, and how often its light and colours are those of all three."""

    turn: float  # degrees, at most
    scale: float  # share
    shift: float  # share of the side
    colours: A.Compose
    spoil: A.Compose  # blur, noise, hidden patches
    cut: float = 0.0  # how often a view is cut off; then, what a move brings in from outside need not be black
    alike: float = 0.0


def changes(name: str) -> Changes:
    """Those called "studio" or "photographs", whose draws are nobody else's."""
    blur = lambda most: A.GaussianBlur(blur_limit=(3, most), p=0.15)
    noise = lambda most: A.GaussNoise(std_range=(0.01, most), p=0.15)
    hole = lambda most: {"hole_height_range": (0.05, most), "hole_width_range": (0.05, most)}
    patches = lambda most: A.CoarseDropout(num_holes_range=(1, 2), **hole(most), p=0.2)
    if name == "studio":
        colours = [A.RandomBrightnessContrast(0.25, 0.25, p=0.7), A.HueSaturationValue(10, 38, 10, p=0.4)]
        spoil = A.OneOf([blur(3), noise(0.05), patches(0.2)], p=0.44)
        return Changes(10.0, 0.1, 0.04, A.Compose(colours), A.Compose([spoil]))
    colours = [A.RandomBrightnessContrast(0.25, 0.4, p=0.7), A.HueSaturationValue(12, 80, 25, p=0.4)]
    colours += [A.MultiplicativeNoise((0.67, 1.5), per_channel=True, p=0.5)]  # warm and cold light
    colours += [A.MultiplicativeNoise((0.1, 0.9), p=0.3), A.ToGray(p=0.2)]
    tones = A.OneOf([A.RandomGamma((40, 220)), A.RandomToneCurve(0.3), A.CLAHE()], p=0.4)
    small = [A.Downscale((0.2, 0.7)), A.ImageCompression(quality_range=(15, 70)), A.MotionBlur((3, 9))]
    spoil = A.Compose([tones, A.OneOf([blur(7), noise(0.15), *small], p=0.6), patches(0.35)], p=0.8)
    return Changes(40.0, 0.2, 0.1, A.Compose(colours), spoil, cut=0.15, alike=0.7)


def augmented(
    crops: np.ndarray, side: int, points2d: np.ndarray, rng: np.random.Generator, how: Changes
) -> tuple[np.ndarray, np.ndarray]:
    """Each crop (3, C, C, 3) at `side` pixels and changed on its own, its points (3, 106, 2) in crop units with it. The
    canonical shape stays what it is. A view of zeros is a missing one, and stays one."""
    views, points = np.zeros((len(crops), side, side, 3), np.uint8), np.array(points2d)
    shared = rng.random() < how.alike
    light, spoilt = (int(seed) for seed in rng.integers(2**31, size=2))
    how.colours.set_random_seed(light)
    how.spoil.set_random_seed(spoilt)
    for view, crop in enumerate(crops):
        if not crop.any():
            continue
        if rng.random() < MOVED:
            move = drawn_move(rng, how)
            border = BORDERS[rng.integers(len(BORDERS))] if how.cut else cv2.BORDER_CONSTANT
            crop, points[view] = moved(crop, side, move, border), points2d[view] @ move[:, :2].T + move[:, 2]
        if shared:
            how.colours.set_random_seed(light)
        views[view] = how.spoil(image=how.colours(image=resized(crop, side))["image"])["image"]
        if rng.random() < how.cut:
            cut_off(views[view], rng)
    return views, points


def drawn_move(rng: np.random.Generator, how: Changes) -> np.ndarray:
    """An affine map (2, 3) of crop units that scales both axes and turns, about the crop's centre, and shifts."""
    angle = np.deg2rad(rng.uniform(-how.turn, how.turn))
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]]) * (1 + rng.uniform(-how.scale, how.scale, 2))
    return np.column_stack([turn, 0.5 - turn @ [0.5, 0.5] + rng.uniform(-how.shift, how.shift, 2)])


def moved(crop: np.ndarray, side: int, move: np.ndarray, border: int = cv2.BORDER_CONSTANT) -> np.ndarray:
    """A crop (C, C, 3) at `side` pixels, changed by an affine map (2, 3) of crop units; what comes in from outside is black,
    or what OpenCV's `border` says."""
    crop = resized(crop, min(side, crop.shape[0]))  # a warp alone would alias
    turn = move[:, :2] * side / crop.shape[0]
    # Crop units count from the picture's edge, OpenCV from the first pixel's centre.
    matrix = np.column_stack([turn, turn @ [0.5, 0.5] + move[:, 2] * side - 0.5])
    return cv2.warpAffine(crop, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=border)


def cut_off(view: np.ndarray, rng: np.random.Generator) -> None:
    """Black out, or smear, up to three tenths of a view (S, S, 3) at one of its sides, in place: the frame ended there."""
    turned, width = np.rot90(view, rng.integers(4)), int(rng.uniform(0.05, 0.3) * len(view))
    turned[:width] = turned[width] if rng.random() < 0.5 else 0


def mirrored(views: np.ndarray, points3d: np.ndarray, points2d: np.ndarray) -> tuple[np.ndarray, ...]:
    """The mirrored capture: pictures flipped, views 0 and 2 exchanged, landmarks mirrored and renamed. Its own inverse."""
    flipped = np.ascontiguousarray(views[SIDES_EXCHANGED, :, ::-1])
    return flipped, mirror_points(points3d), mirror_points2d(points2d[SIDES_EXCHANGED])


def resized(view: np.ndarray, side: int) -> np.ndarray:
    """A crop (S, S, 3) at `side` pixels."""
    view = np.asarray(view)
    if len(view) == side:
        return view
    return cv2.resize(view, (side, side), interpolation=cv2.INTER_AREA if side < len(view) else cv2.INTER_CUBIC)
