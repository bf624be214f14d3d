"""The second layers that stand in 04_stack, for everybody else: 05_submit on new faces, benches and tests."""

from typing import Any

import numpy as np

from kpl import config
from kpl.stack.crossfit import refit
from kpl.stack.layers import BLENDED, blended
from kpl.stack.oof import OofStore


def method() -> dict[str, Any]:
    """What the cells of 04_stack that are tagged "method" define: `layers` {name: SecondLayer} with their constants."""
    scope: dict[str, Any] = {"__name__": "04_stack"}
    for number, source in enumerate(config.cells("04_stack", "method")):
        exec(compile(source, f"04_stack, method {number}", "exec"), scope)  # noqa: S102
    return scope


def refit_called(name: str, store: OofStore, new_points: np.ndarray, seed: int) -> np.ndarray:
    """`refit` by the layer of that name, which may be "blend". Raises KeyError for another name."""
    layers = method()["layers"]
    parts = BLENDED if name == "blend" else (name,)
    answers = {part: refit(layers[part], store, new_points, seed) for part in parts}
    return blended(answers) if name == "blend" else answers[name]
