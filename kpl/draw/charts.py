"""Charts of errors."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from kpl import score
from kpl.draw.words import SHEET, plain, short

Floats = Sequence[float]


def error_curves(errors: Mapping[str, np.ndarray], limit: float = 0.1) -> Figure:
    """The share of samples (percent) with at most a given error; `errors` are NME (N,) by name."""
    figure, axis = plt.subplots(figsize=(7, 4), **SHEET)
    for name, values in errors.items():
        look = {"linestyle": "--" if name == "mean_shape" else "-", "linewidth": 2.5 if name == "final" else 1.2}
        label = f"{short(name)}, AUC {score.auc(values, limit):.3f}"
        axis.plot(*score.error_curve(values), drawstyle="steps-post", label=label, **look)
    axis.set(xlim=(0, limit), ylim=(0, 100), xlabel="NME", ylabel="% of samples with at most this error")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="lower right" if limit >= 0.1 else "best")
    return plain(figure)


def intervals(
    names: Sequence[str],
    middles: Floats,
    lows: Floats,
    highs: Floats,
    label: str,
    line: float | None = None,
    ordered: bool = False,
) -> Figure:
    """One dot with its interval for each name, best (lowest) at the top unless they are `ordered`; a dashed line at `line`."""
    place = np.arange(len(names))
    order = place[::-1] if ordered else np.argsort(middles)[::-1]
    names, middles, lows, highs = (np.asarray(values)[order] for values in (names, middles, lows, highs))
    figure, axis = plt.subplots(figsize=(7, 0.6 + 0.38 * len(names)), **SHEET)
    axis.errorbar(middles, place, xerr=[middles - lows, highs - middles], fmt="o", capsize=3, color="k")
    axis.set_yticks(place, map(short, names))
    axis.set(xlabel=label, ylim=(-0.6, len(names) - 0.4))
    axis.grid(axis="x", alpha=0.3)
    if line is not None:
        axis.axvline(line, linestyle="--", color="gray")
    return plain(figure)


def reliability(spreads: Mapping[str, tuple[np.ndarray, np.ndarray]], bins: int = 10) -> Figure:
    """Predicted against real errors, by name: both (K,), the predicted ones as RMS. Each dot is a tenth of the
    landmarks, from the smallest predicted spread to the largest; on the diagonal a prediction can be believed."""
    figure, axis = plt.subplots(figsize=(6, 5), **SHEET)
    for name, (predicted, real) in spreads.items():
        parts = np.array_split(np.argsort(predicted), bins)
        x, y = (np.sqrt([np.mean(values[part] ** 2) for part in parts]) for values in (predicted, real))
        axis.plot(x, y, ".-", linewidth=1, label=short(name))
    axis.axline((0, 0), slope=1, linestyle="--", color="grey", label="what is said is what is")
    axis.set(xlabel="predicted error of a landmark (RMS, canonical units)", ylabel="real error (RMS)")
    axis.set(xlim=(0, None), ylim=(0, None))
    axis.legend(fontsize=7)
    return plain(figure)
