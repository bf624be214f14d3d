"""Which second layer is submitted."""

from typing import NamedTuple

import numpy as np

from kpl import compare

FALLBACKS = ("weighted", "single")  # the better of these two stands unless another layer surely beats it


class Choice(NamedTuple):
    name: str  # of the second layer that is submitted
    reason: str  # one sentence


def choose(errors: dict[str, np.ndarray], subjects: np.ndarray, seed: int = 0) -> Choice:
    """The layer with the lowest mean of its out-of-fold `errors` (N,) among those that surely beat the one to beat.

    That is the better of FALLBACKS, or ridge if it surely beats this one: what learns more must give more than a linear
    model. If nobody surely beats it, it is chosen itself. Surely: the 95 % interval of the paired difference, over
    subjects, lies below zero, of subjects enough (kpl.compare).
    """

    def mean(name: str) -> float:
        return float(errors[name].mean())

    def beats(name: str, other: str) -> bool:
        return compare.paired(errors[name], errors[other], subjects, seed=seed).better

    fallback = min(FALLBACKS, key=mean)
    to_beat = "ridge" if "ridge" in errors and beats("ridge", fallback) else fallback
    sure = [name for name in errors if name != to_beat and beats(name, to_beat)]
    best = min(sure, key=mean, default=to_beat)
    others = f"none surely beats {best}" if best == to_beat else f"the lowest of those that surely beat {to_beat}"
    if best == fallback:
        reason = f"{best} has the lower error of {' and '.join(FALLBACKS)}, and no second layer surely beats it."
    else:
        gain = compare.paired(errors[best], errors[fallback], subjects, seed=seed)
        between = f"95 % interval {gain.ratio_low:.3f} to {gain.ratio_high:.3f}"
        reason = f"{best} has {gain.ratio:.3f} of the out-of-fold error of {fallback} ({between}), and {others}."
    return Choice(best, reason)


def nested_choice(errors: dict[str, np.ndarray], groups: np.ndarray, subjects: np.ndarray, seed: int = 0) -> np.ndarray:
    """For each sample (N,) the name of the layer that is chosen when its own group has no say.

    The chosen layer's own out-of-fold error is the lowest of several and so a little too good; the error of these
    answers is not.
    """
    names = np.empty(len(groups), dtype=object)
    for group in np.unique(groups):
        others = groups != group
        chosen = choose({name: values[others] for name, values in errors.items()}, subjects[others], seed)
        names[~others] = chosen.name
    return names
