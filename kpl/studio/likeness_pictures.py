"""The pictures of `kpl.studio.likeness`."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from kpl import landmarks, score
from kpl.files import atomic

_OURS, _THEIRS = "tab:blue", "tab:orange"


def save(folder: Path, drawn: dict) -> None:
    """Save what there is to draw: `drawn` may hold mean (106, 3), spread and usual_spread by
    region, yaw and pitch (N, 3), scores (N, 3) and ages (M,)."""
    figures = {}
    if "mean" in drawn:
        figures["mean_shape"] = mean_shapes(drawn["mean"])
        figures["spread"] = spreads(drawn["spread"], drawn["usual_spread"])
    if "yaw" in drawn:
        figures["rig"] = rig(drawn["yaw"], drawn["pitch"])
    if "scores" in drawn:
        labels = [f"view {view}" for view in range(3)]
        figures["detection"] = _histogram(drawn["scores"], labels, "CenterFace's score (0: not found)")
    if "ages" in drawn:
        figures["ages"] = _histogram(drawn["ages"][:, None], [""], "years")
    for name, figure in figures.items():
        with atomic(folder / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=110)
        plt.close(figure)


def mean_shapes(mean: np.ndarray) -> Figure:
    """The set's mean shape (106, 3), aligned as the official score does, over the competition's: front and side."""
    ours = score.align(mean[None].copy(), landmarks.MEAN_SHAPE[None])[0]
    figure, axes = plt.subplots(1, 2, figsize=(9, 5.5), layout="constrained")
    for axis, (across, title) in zip(axes, ((0, "front"), (2, "side"))):
        for shape, color, label in ((landmarks.MEAN_SHAPE, _THEIRS, "competition"), (ours, _OURS, "this set")):
            for i, outline in enumerate(landmarks.OUTLINES.values()):
                axis.plot(
                    shape[outline, across], shape[outline, 1], "-", color=color, lw=1, label=label if not i else None
                )
            axis.plot(shape[:, across], shape[:, 1], ".", color=color, ms=4)
        axis.set(title=title, aspect="equal")
    axes[0].legend(loc="lower right", fontsize=8)
    return figure


def spreads(values: dict[str, float], usual: dict[str, float]) -> Figure:
    """Spread by region beside the usual one, with the band of 25 %."""
    figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
    place = np.arange(len(values))
    reference = np.array([usual[name] for name in values])
    axis.bar(place - 0.2, list(values.values()), 0.4, color=_OURS, label="this set")
    axis.bar(place + 0.2, reference, 0.4, yerr=0.25 * reference, color=_THEIRS, label="reference +- 25 %")
    axis.set_xticks(place, list(values))
    axis.set_ylabel("3D RMS, eye distances")
    axis.legend(fontsize=8)
    return figure


def rig(yaw: np.ndarray, pitch: np.ndarray) -> Figure:
    """Where each camera stands as the face sees it, a dot a picture: (N, 3) degrees."""
    figure, axis = plt.subplots(figsize=(7, 3.4), layout="constrained")
    for view, (x, y) in enumerate(zip(yaw.T, pitch.T)):
        axis.plot(x, y, ".", ms=3, label=f"view {view}")
    axis.set(xlim=(75, -75), ylim=(-35, 35), xlabel="yaw, degrees", ylabel="pitch, degrees")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return figure


def _histogram(values: np.ndarray, labels: list[str], title: str) -> Figure:
    figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
    axis.hist(values, bins=24, label=labels)
    axis.set_xlabel(title)
    if len(labels) > 1:
        axis.legend(fontsize=8)
    return figure
