"""What training does to the three crops of a sample: geometry, colour, blur, noise, hidden patches, mirroring.

`studio` is for pictures like those of training; `photographs` for whatever people hand over: other light, grey, blurred, shrunk,
packed, turned, cut off by a border, one picture unlike the others. Turns, shifts and scalings are one cv2.warpAffine a view, light
and colour one 3 x 4 matrix: they happen to nearly every view, and their cost is taken from the training on the same core. The rarer
changes are albumentations' (MIT).
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
MOVED, LIT, COLOURED = 0.9, 0.7, 0.4  # how often
CAST, DARKENED = 0.5, 0.3  # how often, of photographs
LUMA = np.array([0.299, 0.587, 0.114])
BORDERS = (cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101)


class Strength(NamedTuple):
    """How large changes are at most, and how often the last four happen. alike: all three views change colours together; cut: a
    view is cut off, and what a move brings in from outside need not be black."""

    turn: float = 10.0  # degrees
    scale: float = 0.1  # share
    shift: float = 0.04  # share of the side
    light: float = 0.25  # shares
    contrast: float = 0.25
    hue: float = 20.0  # degrees on the colour circle
    saturation: float = 0.15  # shares
    value: float = 0.04
    cast: float = 0.0  # logarithm of each colour's factor: warm and cold light
    dark: float = 1.0  # the smallest factor of all colours
    spoiled: float = 0.44
    grey: float = 0.0
    cut: float = 0.0
    alike: float = 0.0


STRENGTHS = {
    "studio": Strength(),
    "photographs": Strength(40.0, 0.2, 0.1, 0.25, 0.4, 25.0, 0.6, 0.1, cast=0.4, dark=0.15, spoiled=0.8, grey=0.2, cut=0.15, alike=0.7),
}


def spoiling(name: str) -> A.Compose:
    """Blur, noise or hidden patches: one of them; photographs also have other tones, are shrunk and packed."""
    if name == "studio":
        return A.Compose([A.OneOf([blur((3, 3)), noise(0.05), patches(0.2)], p=1.0)], seed=0)
    tones = A.OneOf([A.RandomGamma((40, 220)), A.RandomToneCurve(0.3), A.CLAHE()], p=0.4)
    small = [A.Downscale((0.2, 0.7)), A.ImageCompression(quality_range=(15, 70)), A.MotionBlur((3, 9))]
    return A.Compose([tones, A.OneOf([blur((3, 7)), noise(0.15), *small], p=0.6), patches(0.35)], seed=0)


def blur(limit: tuple[int, int]) -> A.GaussianBlur:
    return A.GaussianBlur(blur_limit=limit, p=0.15)


def noise(most: float) -> A.GaussNoise:
    return A.GaussNoise(std_range=(0.01, most), p=0.15)


def patches(most: float) -> A.CoarseDropout:
    side = (0.05, most)
    return A.CoarseDropout(num_holes_range=(1, 2), hole_height_range=side, hole_width_range=side, p=0.2)


def augmented(
    crops: np.ndarray, side: int, points2d: np.ndarray, rng: np.random.Generator, spoil: A.Compose, strength: Strength
) -> tuple[np.ndarray, np.ndarray]:
    """Each crop (3, C, C, 3) at `side` pixels and changed on its own, its points (3, 106, 2) in crop units with it. The
    canonical shape stays what it is. A view of zeros is a missing one, and stays one."""
    views, points = np.zeros((len(crops), side, side, 3), np.uint8), np.array(points2d)
    shared = drawn_colours(rng, strength) if strength.alike and rng.random() < strength.alike else None
    for view, crop in enumerate(crops):
        if not crop.any():
            continue
        if rng.random() < MOVED:
            move = drawn_move(rng, strength)
            border = BORDERS[rng.integers(len(BORDERS))] if strength.cut else cv2.BORDER_CONSTANT
            crop, points[view] = moved(crop, side, move, border), points2d[view] @ move[:, :2].T + move[:, 2]
        views[view] = cv2.transform(resized(crop, side), drawn_colours(rng, strength) if shared is None else shared)
        if rng.random() < strength.spoiled:
            spoil.set_random_seed(int(rng.integers(2**31)))
            views[view] = spoil(image=views[view])["image"]
        if strength.cut and rng.random() < strength.cut:
            cut_off(views[view], rng)
    return views, points


def drawn_move(rng: np.random.Generator, strength: Strength) -> np.ndarray:
    """An affine map (2, 3) of crop units that scales both axes and turns, about the crop's centre, and shifts."""
    angle = np.deg2rad(rng.uniform(-strength.turn, strength.turn))
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]]) * (1 + rng.uniform(-strength.scale, strength.scale, 2))
    return np.column_stack([turn, 0.5 - turn @ [0.5, 0.5] + rng.uniform(-strength.shift, strength.shift, 2)])


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


def drawn_colours(rng: np.random.Generator, strength: Strength) -> np.ndarray:
    """A matrix (3, 4) for colours in 0..255: now and then contrast and light, or hue, saturation and value, change; of
    photographs also the colour of the light and its strength, and some are black and white."""
    colours, light = np.eye(3), 0.0
    grey = np.tile(LUMA, (3, 1))
    if rng.random() < LIT:
        colours = colours * (1 + rng.uniform(-strength.contrast, strength.contrast))
        light = 255 * rng.uniform(-strength.light, strength.light)
    if rng.random() < COLOURED:
        kept = 1 + rng.uniform(-strength.saturation, strength.saturation)
        value = 1 + rng.uniform(-strength.value, strength.value)
        turned = hue_turn(rng.uniform(-strength.hue, strength.hue))
        colours = value * turned @ (grey + kept * (np.eye(3) - grey)) @ colours
    if strength.cast and rng.random() < CAST:
        colours = np.exp(rng.uniform(-strength.cast, strength.cast, 3))[:, None] * colours
    if strength.dark < 1 and rng.random() < DARKENED:
        factor = strength.dark ** rng.random()
        colours, light = factor * colours, factor * light
    if rng.random() < strength.grey:
        colours = grey @ colours
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
