"""Pictures of scores and shapes. Every function returns a matplotlib figure.

Predictions are orange, truth is blue, here as in kpl.plots.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kpl import score
from kpl.landmarks import GROUPS, OUTLINES

PREDICTION, TRUTH = "darkorange", "royalblue"
_SIDES = {"from the front": -90, "from the side": -40, "profile": 0}  # azimuth in degrees


def error_curves(errors: Mapping[str, np.ndarray], limit: float = 0.1) -> Figure:
    """The share of samples (percent) with at most a given error; `errors` are NME (N,) by name."""
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, values in errors.items():
        known, percent = score.error_curve(values)
        style = "--" if name == "mean_shape" else "-"
        axis.plot(
            known,
            percent,
            style,
            linewidth=2.5 if name == "final" else 1.2,
            drawstyle="steps-post",
            label=f"{name}, AUC {score.auc(values, limit):.3f}",
        )
    axis.set(xlim=(0, limit), ylim=(0, 100), xlabel="NME", ylabel="% of samples with at most this error")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="lower right" if limit >= 0.1 else "best")
    return figure


def learning_curves(history: pd.DataFrame, mean_shape_nme: float) -> Figure:
    """Loss, hold-out NME and the wait for data over the epochs of a run's history; dashed: the NME of the mean
    shape."""
    figure, (left, right, last) = plt.subplots(1, 3, figsize=(11, 2.8), layout="constrained", width_ratios=(3, 3, 2))
    left.plot(history["epoch"], history["loss"], marker=".")
    left.set(title="training loss", xlabel="epoch")
    right.plot(history["epoch"], history["nme"], marker=".", color="darkorange", label="held-out subjects")
    right.axhline(mean_shape_nme, linestyle="--", color="grey", label="mean shape")
    right.set(title="NME", xlabel="epoch", ylim=(0, None))
    right.legend(frameon=False)
    last.bar(history["epoch"], 100 * history["wait"], color="grey")
    last.set(
        title="wait for data, % of the steps' time", xlabel="epoch", ylim=(0, max(5.0, 110 * history["wait"].max()))
    )
    return figure


def intervals(
    names: Sequence[str],
    middles: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    label: str,
    line: float | None = None,
) -> Figure:
    """One dot with its interval for each name, best (lowest) at the top; a dashed line at `line`."""
    order = np.argsort(middles)[::-1]
    middles, lows, highs = (np.asarray(values)[order] for values in (middles, lows, highs))
    figure, axis = plt.subplots(figsize=(7, 0.6 + 0.38 * len(names)), layout="constrained")
    axis.errorbar(middles, np.arange(len(names)), xerr=[middles - lows, highs - middles], fmt="o", capsize=3, color="k")
    axis.set_yticks(np.arange(len(names)), np.asarray(names)[order])
    axis.set(xlabel=label, ylim=(-0.6, len(names) - 0.4))
    axis.grid(axis="x", alpha=0.3)
    if line is not None:
        axis.axvline(line, linestyle="--", color="gray")
    return figure


def reliability(spreads: Mapping[str, tuple[np.ndarray, np.ndarray]], bins: int = 10) -> Figure:
    """Predicted against real errors, by name: both (K,), the predicted ones as RMS. Each dot is a tenth of the
    landmarks, from those with the smallest predicted spread to those with the largest; on the diagonal a prediction can
    be believed."""
    figure, axis = plt.subplots(figsize=(6, 5), layout="constrained")
    largest = 0.0
    for name, (predicted, real) in spreads.items():
        parts = np.array_split(np.argsort(predicted), bins)
        x, y = (np.sqrt([np.mean(values[part] ** 2) for part in parts]) for values in (predicted, real))
        axis.plot(x, y, ".-", linewidth=1, label=name)
        largest = max(largest, x[-1], y[-1])
    axis.plot([0, largest], [0, largest], "--", color="grey", label="what is said is what is")
    axis.set(xlabel="predicted error of a landmark (RMS, canonical units)", ylabel="real error (RMS)")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7)
    return figure


def region_bars(errors: Mapping[str, np.ndarray]) -> Figure:
    """Mean error of each region of the face; `errors` are landmark errors (N, 106) by name."""
    figure, axis = plt.subplots(figsize=(8, 3.4), layout="constrained")
    width = 0.8 / len(errors)
    for i, (name, values) in enumerate(errors.items()):
        heights = [values[:, region].mean() for region in GROUPS.values()]
        axis.bar(np.arange(len(GROUPS)) + (i - (len(errors) - 1) / 2) * width, heights, width, label=name)
    axis.set_xticks(np.arange(len(GROUPS)), list(GROUPS))
    axis.set_ylabel("mean error / eye distance")
    axis.legend(fontsize=8, ncols=3)
    return figure


def group_bars(table: pd.DataFrame) -> Figure:
    """One bar with its interval for each row: columns group, error, low, high."""
    figure, axis = plt.subplots(figsize=(5, 0.7 + 0.32 * len(table)), layout="constrained")
    place = np.arange(len(table))[::-1]
    spans = [table["error"] - table["low"], table["high"] - table["error"]]
    axis.barh(place, table["error"], xerr=spans, color="#f0a858", error_kw={"elinewidth": 1, "capsize": 2}, height=0.65)
    axis.set_yticks(place, table["group"])
    axis.set_xlim(0, None)
    axis.grid(axis="x", alpha=0.3)
    return figure


def correlations(names: Sequence[str], matrix: np.ndarray) -> Figure:
    """A matrix (K, K) of correlations, with its numbers."""
    size = 1.8 + 0.75 * len(names)
    figure, axis = plt.subplots(figsize=(size + 1, size), layout="constrained")
    picture = axis.imshow(matrix, vmin=0, vmax=1, cmap="viridis")
    axis.set_xticks(np.arange(len(names)), names, rotation=40, ha="right", fontsize=8)
    axis.set_yticks(np.arange(len(names)), names, fontsize=8)
    for (row, column), value in np.ndenumerate(matrix):
        axis.text(column, row, f"{value:.2f}", ha="center", va="center", color="k" if value > 0.5 else "w", fontsize=8)
    figure.colorbar(picture, shrink=0.8)
    return figure


def face_map(values: np.ndarray, shape: np.ndarray, label: str) -> Figure:
    """One value a landmark (106,) as colours on a face (106, 3), from the front and in profile; zero is white."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
    limit = np.abs(values).max() or 1.0
    for axis, across in zip(axes, (0, 2)):
        for outline in OUTLINES.values():
            axis.plot(shape[outline, across], shape[outline, 1], color="0.8", linewidth=1, zorder=0)
        dots = axis.scatter(
            shape[:, across],
            shape[:, 1],
            c=values,
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
            s=28,
            edgecolors="0.5",
            linewidths=0.4,
        )
        axis.set_aspect("equal")
        axis.set_axis_off()
    figure.colorbar(dots, ax=axes, label=label, shrink=0.8)
    return figure


def coordinate_maps(values: np.ndarray, shape: np.ndarray, label: str) -> Figure:
    """A value for each coordinate (106, 3) as colours on a face (106, 3): one face for x, y and z each; zero is
    white."""
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.6), layout="constrained")
    limit = np.abs(values).max() or 1.0
    for axis, name, column in zip(axes, "xyz", np.asarray(values).T):
        for outline in OUTLINES.values():
            axis.plot(shape[outline, 0], shape[outline, 1], color="0.8", linewidth=1, zorder=0)
        dots = axis.scatter(
            *shape[:, :2].T, c=column, cmap="RdBu_r", vmin=-limit, vmax=limit, s=24, edgecolors="0.5", linewidths=0.4
        )
        axis.set_title(name)
        axis.set_aspect("equal")
        axis.set_axis_off()
    figure.colorbar(dots, ax=axes, label=label, shrink=0.8)
    return figure


def faces_in_3d(
    shapes: np.ndarray, titles: Sequence[str], truth: np.ndarray | None = None, crops: np.ndarray | None = None
) -> Figure:
    """Rows of shapes (R, 106, 3) from three sides, over the truth (R, 106, 3) and beside the crops (R, 3, S, S, 3).

    Truth is drawn only where given; shapes should be aligned to it beforehand (kpl.score.align).
    """
    pictures = 0 if crops is None else 3
    columns = pictures + len(_SIDES)
    figure = plt.figure(figsize=(2.2 * columns, 2.5 * len(shapes)), layout="constrained")
    for row, shape in enumerate(shapes):
        for view in range(pictures):
            axis = figure.add_subplot(len(shapes), columns, row * columns + view + 1)
            axis.imshow(crops[row, view])
            axis.set_axis_off()
        for i, (side, azimuth) in enumerate(_SIDES.items()):
            axis = figure.add_subplot(len(shapes), columns, row * columns + pictures + i + 1, projection="3d")
            if truth is not None:
                draw_shape(axis, truth[row], TRUTH)
            draw_shape(axis, shape, PREDICTION)
            axis.view_init(elev=0, azim=azimuth)
            axis.set_title(titles[row] if i == 0 else side, fontsize=8, pad=0)
    return figure


def found_face(crops: np.ndarray, points: np.ndarray, shape: np.ndarray, spread: np.ndarray) -> Figure:
    """Three crops (3, S, S, 3) with landmarks (3, 106, 2) in crop units, and the shape (106, 3) from three sides below;
    the larger a landmark's spread (106,), the larger and redder its dot."""
    figure = plt.figure(figsize=(9, 6), layout="constrained")
    side = crops.shape[1]
    for view in range(len(crops)):
        axis = figure.add_subplot(2, 3, view + 1)
        axis.imshow(crops[view], extent=(0, side, side, 0))
        if np.isfinite(points[view]).all():
            for outline in OUTLINES.values():
                axis.plot(*(points[view, outline] * side).T, color=PREDICTION, linewidth=0.8)
            axis.plot(*(points[view] * side).T, ".", color=PREDICTION, markersize=2)
        axis.set(xlim=(0, side), ylim=(side, 0))
        axis.set_axis_off()
    x, y, z = shape.T
    for i, (side_name, azimuth) in enumerate(_SIDES.items()):
        axis = figure.add_subplot(2, 3, 4 + i, projection="3d")
        draw_shape(axis, shape, PREDICTION)
        dots = axis.scatter(
            x, -z, y, c=spread, s=4 + 2000 * spread**2, cmap="Reds", vmin=0, edgecolors="0.5", linewidths=0.2
        )
        axis.view_init(elev=0, azim=azimuth)
        axis.set_title(side_name, fontsize=8, pad=0)
    figure.colorbar(dots, ax=figure.axes, label="spread (the eyes are about 0.75 apart)", shrink=0.5, location="bottom")
    return figure


def draw_shape(axis: plt.Axes, shape: np.ndarray, color: str) -> None:
    """Draw the outlines of a canonical shape (106, 3) on a 3D axis, upright and with equal scales."""
    x, y, z = shape.T
    for outline in OUTLINES.values():
        axis.plot(x[outline], -z[outline], y[outline], color=color, linewidth=1)
    axis.plot(x, -z, y, ".", color=color, markersize=1.5)
    axis.set_box_aspect((np.ptp(x), np.ptp(z), np.ptp(y)), zoom=1.2)
    axis.set_axis_off()
