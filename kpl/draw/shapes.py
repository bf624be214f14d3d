"""Shapes in the canonical frame: what is where on a face, faces from several sides, and one to turn by hand."""

import html
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure

from kpl.draw.pictures import ORANGE, mark
from kpl.draw.words import PREDICTION, SHEET, TRUTH, plain, short
from kpl.landmarks import COUNT, GROUPS, NAMES, OUTLINES

_SIDES = {"from the front": 0, "from the side": 50, "profile": 90}  # degrees
_NAMED = (0, 16, 32, 33, 46, 61, 90)  # landmarks whose names are written beside them
_ALONE = np.setdiff1d(np.arange(COUNT), np.concatenate(list(OUTLINES.values())))
# The landmarks along all outlines, then those on none; COUNT, where nothing is, lifts the pen.
_PATH = np.concatenate([[*outline, COUNT] for outline in (*OUTLINES.values(), *_ALONE[:, None])])


def landmark_groups(shape: np.ndarray) -> Figure:
    """The landmarks of a shape (106, 3) from the front and in profile, coloured by region, a few with their names."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 5), **SHEET)
    for axis, degrees in zip(axes, (0, 90)):
        points = _outlines(axis, shape, degrees, "0.8")
        for group, landmarks in GROUPS.items():
            axis.plot(*points[landmarks].T, "o", markersize=4, label=f"{group}, {len(landmarks)}")
    for landmark in _NAMED:
        name = f"{landmark} {NAMES[landmark]}"
        axes[0].annotate(name, shape[landmark, :2], (4, 4), textcoords="offset points", fontsize=7)
    axes[1].legend(frameon=False)
    return figure


def faces_in_3d(
    shapes: np.ndarray,
    titles: Sequence[str],
    truth: np.ndarray | None = None,
    crops: np.ndarray | None = None,
    spread: np.ndarray | None = None,
) -> Figure:
    """Rows of shapes (R, 106, 3) from three sides, over the truth (R, 106, 3) and beside the crops (R, 3, S, S, 3).

    Truth is drawn only where given; shapes should be aligned to it beforehand (kpl.score.align). The larger a
    landmark's spread (R, 106), the larger and redder its dot.
    """
    pictures = 0 if crops is None else 3
    rows, columns = max(len(shapes), 1), pictures + len(_SIDES)
    figure, axes = plt.subplots(rows, columns, figsize=(2 * columns, 2.2 * rows), squeeze=False, **SHEET)
    for row, shape in enumerate(shapes):
        for view in range(pictures):
            axes[row, view].imshow(crops[row][view])
        for axis, (side, degrees) in zip(axes[row, pictures:], _SIDES.items()):
            if truth is not None:
                _outlines(axis, truth[row], degrees, TRUTH)
            points = _outlines(axis, shape, degrees, PREDICTION)
            if spread is not None:
                axis.scatter(*points.T, c=spread[row], s=4 + 2000 * spread[row] ** 2, cmap="Reds", vmin=0)
            axis.set_title(side if degrees else short(titles[row], 36), fontsize=8)
    for axis in axes.flat:
        axis.set_axis_off()
    return plain(figure)


def found_face(crops: np.ndarray, points: np.ndarray, shape: np.ndarray, spread: np.ndarray) -> Figure:
    """Three crops (3, S, S, 3) with landmarks (3, 106, 2) in crop units, NaN where there are none, and the shape
    (106, 3) with its spread (106,) from three sides."""
    drawn = np.array(crops)
    for picture, seen in zip(drawn, points):
        if np.isfinite(seen).all():
            mark(picture, seen * len(picture), ORANGE)
    return faces_in_3d(shape[None], [f"spread {spread.mean():.3f}; eyes 0.75 apart"], None, drawn[None], spread[None])


def face_to_turn(shapes: np.ndarray, titles: Sequence[str], truth: np.ndarray | None = None) -> go.Figure:
    """A plotly figure: shapes (R, 106, 3), one at a time, over their truth (R, 106, 3), if it is given and they were aligned
    to it, with grey lines between what belongs together. A click on the legend hides a part."""
    parts = {"prediction": PREDICTION} | ({} if truth is None else {"truth": TRUTH, "difference": "grey"})
    choices = [_lines(*pair) for pair in zip(shapes, shapes if truth is None else truth)]
    figure = go.Figure()
    for i, (name, colour) in enumerate(parts.items()):
        line = {"mode": "lines" if name == "difference" else "lines+markers", "line": {"color": colour, "width": 4}}
        place = {axis: values[i] for axis, values in choices[0].items()}
        figure.add_scatter3d(**place, **line, name=name, marker={"size": 2.5}, hoverinfo="skip")
    labels = [html.escape(short(title, 40), quote=False) for title in titles]
    buttons = [{"label": label, "method": "restyle", "args": [choice]} for label, choice in zip(labels, choices)]
    menu = {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1, "yanchor": "top", "bgcolor": "white"}
    camera = {"eye": {"x": -0.8, "y": 0.3, "z": 2.2}, "up": {"x": 0, "y": 1, "z": 0}}
    scene = {"aspectmode": "data", "dragmode": "orbit", "camera": camera}
    scene |= {f"{axis}axis": {"visible": False} for axis in "xyz"}
    look = {"template": "none", "paper_bgcolor": "rgba(0,0,0,0)", "font": {"color": "grey"}, "height": 560}
    legend, margin = {"orientation": "h", "x": 0, "y": 0}, dict.fromkeys("lrtb", 0)
    return figure.update_layout(look, legend=legend, margin=margin, scene=scene, updatemenus=[menu])


def _lines(shape: np.ndarray, truth: np.ndarray) -> dict[str, list[list[float]]]:
    """Of each axis, what the lines of prediction, truth and difference run along."""
    shape, truth = (np.vstack([points, np.full(3, np.nan)]) for points in (shape, truth))
    between = np.stack([shape, truth, np.full_like(shape, np.nan)], axis=1).reshape(-1, 3)
    lines = [np.round(points, 4).T.tolist() for points in (shape[_PATH], truth[_PATH], between)]
    return dict(zip("xyz", map(list, zip(*lines))))


def _outlines(axis: plt.Axes, shape: np.ndarray, degrees: float, color: str) -> np.ndarray:
    """Draw a shape (106, 3), turned from the front towards its profile, and return where its landmarks are (106, 2)."""
    x, y, z = shape.T
    points = np.column_stack([x * np.cos(np.radians(degrees)) + z * np.sin(np.radians(degrees)), y])
    for outline in OUTLINES.values():
        axis.plot(*points[outline].T, color=color, linewidth=1, zorder=1)
    axis.set_aspect("equal")
    axis.set_axis_off()
    return points
