"""Pictures side by side, with what was found in them, and shapes as the cameras see them."""

from collections.abc import Sequence

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from kpl import score
from kpl.draw.words import PREDICTION, SHEET, plain, short
from kpl.landmarks import OUTLINES

Arrays = Sequence[np.ndarray]
ORANGE, BLUE = (230, 119, 0), (59, 111, 212)  # RGB of prediction and truth


def contact_sheet(
    pictures: Arrays, titles: Sequence[str] = (), points: Arrays = (), boxes: Arrays = (), columns: int = 6, cell: float = 1.7
) -> Figure:
    """Pictures (H, W, 3) in rows of `columns`, `cell` inches wide.

    In each picture's pixels, as far as they are given and not NaN: points (K, 2) as dots, boxes (M, 4) x1 y1 x2 y2
    as frames (the first one orange, others white).
    """
    rows = max(-(-len(pictures) // columns), 1)
    tallest = max((picture.shape[0] / picture.shape[1] for picture in pictures), default=1.0)
    size = (columns * cell, rows * (cell * tallest + (0.22 if titles else 0)))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, **SHEET)
    for i, axis in enumerate(axes.flat):
        axis.set_axis_off()
        if i < len(pictures):
            _show(axis, pictures[i], points[i] if i < len(points) else (), boxes[i] if i < len(boxes) else ())
            axis.set_title(short(titles[i], int(20 * cell)) if i < len(titles) else "", fontsize=7, pad=2)
    return plain(figure)


def maps_on_picture(pictures: np.ndarray, maps: np.ndarray, points: np.ndarray) -> Figure:
    """Where a network looks: a sample's pictures (V, H, W, 3) with landmarks (V, L, 2) in crop units, and below, over
    each, its 2D maps, (V, L, h, w), each scaled to its peak, or summed (V, h, w)."""
    figure, axes = plt.subplots(2, len(pictures), figsize=(2.6 * len(pictures), 5.2), squeeze=False, **SHEET)
    heats = maps if maps.ndim == 3 else (maps / maps.max((2, 3), keepdims=True)).max(1)
    for picture, heat, dots, (above, below) in zip(pictures, heats, points, axes.T):
        height, width = picture.shape[:2]
        _show(above, picture, dots * (width, height), ())
        _show(below, picture, (), ())
        below.imshow(heat, extent=(0, width, height, 0), cmap="inferno", alpha=0.75, interpolation="bilinear")
    return figure


def _show(axis: plt.Axes, picture: np.ndarray, points: Sequence, boxes: Sequence) -> None:
    height, width = picture.shape[:2]
    # Edges of pixels lie on whole numbers, as in kpl.faces.geometry.
    axis.imshow(picture, extent=(0, width, height, 0), interpolation="nearest" if width < 64 else "antialiased")
    if len(points):
        axis.plot(*np.asarray(points).T, ".", markersize=1.6, color="deepskyblue")
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        axis.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], linewidth=1.2, color="white" if i else PREDICTION)
    axis.set(xlim=(0, width), ylim=(height, 0))
    axis.set_axis_off()


def overlaid(crops: np.ndarray, pred: np.ndarray, truth: np.ndarray, points: np.ndarray, side: int = 256) -> np.ndarray:
    """A sample's crops (V, S, S, 3) as (V, side, side, 3) with its truth (106, 3) and the prediction, aligned to it,
    as each camera sees them; points (V, 106, 2) in crop units are where it sees the truth, NaN: nothing is drawn."""
    pictures = np.stack([cv2.resize(np.asarray(crop), (side, side), interpolation=cv2.INTER_AREA) for crop in crops])
    offsets = score.align(pred[None], truth[None])[0] - truth
    for picture, seen in zip(pictures, points):
        if np.isfinite(seen).all():
            mark(picture, seen * side, BLUE)
            mark(picture, (seen + offsets @ fit_camera(truth, seen)) * side, ORANGE)
    return pictures


def mark(picture: np.ndarray, points: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Draw landmarks (106, 2) in pixels, with their outlines, on a picture (H, W, 3) uint8 in place."""
    fine = np.round(points * 8).astype(np.int32)  # eighths of a pixel
    cv2.polylines(picture, [fine[outline] for outline in OUTLINES.values()], False, colour, 1, cv2.LINE_AA, shift=3)
    for point in fine.tolist():
        cv2.circle(picture, point, 10, colour, -1, cv2.LINE_AA, shift=3)


def fit_camera(shape: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How far points of a picture move with those of a shape: (3, 2), of the affine camera that is nearest, in the
    least squares, to seeing landmarks (106, 3) at points (106, 2)."""
    return np.linalg.lstsq(shape - shape.mean(axis=0), points - points.mean(axis=0))[0]
