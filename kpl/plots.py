"""The notebooks' pictures. Every function returns a matplotlib figure."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

_CELL = 1.7  # inches


def contact_sheet(
    pictures: Sequence[np.ndarray],
    titles: Sequence[str] = (),
    points: Sequence[np.ndarray] = (),
    boxes: Sequence[np.ndarray] = (),
    columns: int = 6,
    cell: float = _CELL,
) -> Figure:
    """Pictures (H, W, 3) in rows of `columns`, `cell` inches wide.

    In each picture's pixels, as far as they are given and not NaN: points (K, 2) as dots, boxes (M, 4) x1 y1 x2 y2
    as frames (the first one orange, others white).
    """
    rows = -(-len(pictures) // columns)
    tallest = max((picture.shape[0] / picture.shape[1] for picture in pictures), default=1.0)
    height = cell * tallest + (0.22 if titles else 0)
    figure, axes = plt.subplots(
        max(rows, 1), columns, figsize=(columns * cell, max(rows, 1) * height), squeeze=False, layout="constrained"
    )
    for i, axis in enumerate(axes.flat):
        axis.set_axis_off()
        if i < len(pictures):
            _draw(axis, pictures[i], points[i] if i < len(points) else (), boxes[i] if i < len(boxes) else ())
            axis.set_title(titles[i] if i < len(titles) else "", fontsize=7, pad=2)
    return figure


def _draw(axis: plt.Axes, picture: np.ndarray, points: Sequence, boxes: Sequence) -> None:
    height, width = picture.shape[:2]
    # Edges of pixels lie on whole numbers, as in kpl.crop.
    axis.imshow(picture, extent=(0, width, height, 0), interpolation="nearest" if width < 64 else "antialiased")
    if len(points):
        axis.plot(*np.asarray(points).T, ".", markersize=1.6, color="deepskyblue")
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        axis.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], linewidth=1.2, color="white" if i else "darkorange")
    axis.set_xlim(0, width)
    axis.set_ylim(height, 0)
