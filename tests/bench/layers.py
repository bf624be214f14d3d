"""How long the second layers take, and how much memory: on made-up predictions.

`./run_all.sh bench layers`: shapes of low rank, networks that are timid, shifted and noisy; by default 4,000 samples and 5
networks. Only times mean something here. Of the full profile's size, once: --samples 8516 --networks 73 --layers ridge
--fits 1.
"""

from time import perf_counter

import numpy as np
import pandas as pd

from bench import report
from kpl import score, stack
from kpl.landmarks import MEAN_SHAPE

EXPRESSIONS = 7
SHAPES = 20  # principal directions of the made-up faces


def main(arguments: list[str]) -> None:
    layers = stack.method()["layers"]
    parser = report.parser("layers", __doc__)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--networks", type=int, default=5)
    parser.add_argument("--layers", nargs="+", choices=layers, default=list(layers), metavar="NAME")
    parser.add_argument(
        "--fits", type=int, default=stack.GROUPS, help="of the groups of subjects; default: all of them"
    )
    options = parser.parse_args(arguments)
    points, truth, subjects = made_up(options.samples, options.networks)
    groups = stack.groups_of(subjects, np.zeros(len(subjects), dtype=int))
    rows = []
    for name in options.layers:
        started, errors = perf_counter(), []
        for group in range(options.fits):
            own = groups == group
            answers = layers[name](points[:, ~own], truth[~own], subjects[~own], points[:, own], 0)
            errors.append(score.nme(answers, truth[own]))
        seconds = perf_counter() - started
        rows.append({"layer": name, "seconds": round(seconds, 2), "fits": options.fits})
        rows[-1] |= {"nme": round(float(np.concatenate(errors).mean()), 5), "peak_gb": round(report.peak_memory(), 2)}
        print(rows[-1], flush=True)
    report.publish(pd.DataFrame(rows), options.out)


def made_up(samples: int, networks: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions (K, N, 106, 3) of float32, truth (N, 106, 3) and subjects (N,)."""
    rng = np.random.default_rng(seed)
    subject = np.arange(samples) // EXPRESSIONS
    basis = rng.normal(0, 0.008, (SHAPES, *MEAN_SHAPE.shape))
    own = rng.normal(size=(subject[-1] + 1, SHAPES))[subject]
    departure = np.tensordot(own + 0.4 * rng.normal(size=own.shape), basis, axes=1)
    timid = MEAN_SHAPE + 0.7 * departure + np.array([0, 0.005, 0]) + rng.normal(0, 0.005, departure.shape)
    points = np.empty((networks, *departure.shape), dtype=np.float32)
    for one in points:
        one[:] = timid + rng.normal(0, 0.01, departure.shape)
    return points, MEAN_SHAPE + departure, np.array([f"{number:05d}" for number in subject])
