"""How long the second layers take: 4,000 samples, 5 networks, 5 groups of subjects, on made-up predictions.

`./run_all.sh bench layers`: shapes of low rank, networks that are timid, shifted and noisy. Only times mean something
here.
"""

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

from kpl import config, score, stack
from kpl.bench import report
from kpl.landmarks import MEAN_SHAPE
from kpl.oof import OofStore

EXPRESSIONS = 7


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="./run_all.sh bench layers", description=__doc__)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--networks", type=int, default=5)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--layers", nargs="+", choices=stack.LAYERS, default=list(stack.LAYERS))
    parser.add_argument("--out", type=Path, default=config.path("output/bench/layers.csv"))
    options = parser.parse_args(arguments)
    store = made_up(options.samples, options.networks, options.folds)
    rows = []
    for name in options.layers:
        started = perf_counter()
        points = stack.cross_fit(stack.LAYERS[name], store, seed=0)
        seconds = perf_counter() - started
        nme = score.nme(points, store.truth).mean()
        rows.append({"layer": name, "seconds": round(seconds, 2), "fits": stack.GROUPS, "nme": round(float(nme), 5)})
    report.publish(pd.DataFrame(rows), options.out)


def made_up(samples: int, networks: int, folds: int, seed: int = 0) -> OofStore:
    """A store of made-up predictions, without test samples."""
    rng = np.random.default_rng(seed)
    subject = np.arange(samples) // EXPRESSIONS
    basis = rng.normal(0, 0.008, (20, *MEAN_SHAPE.shape))
    weights = rng.normal(size=(subject[-1] + 1, 20))[subject] + 0.4 * rng.normal(size=(samples, 20))
    departure = np.tensordot(weights, basis, axes=1)
    noise = rng.normal(0, 0.01, (networks, *departure.shape)) + rng.normal(0, 0.005, departure.shape)
    points = MEAN_SHAPE + 0.7 * departure + np.array([0, 0.005, 0]) + noise
    names = np.array([f"{number:05d}" for number in subject])
    none = np.empty(0, dtype=str)
    return OofStore(
        fingerprint="",
        networks=np.array([f"network{k}" for k in range(networks)]),
        seeds=np.zeros(networks, dtype=int),
        recipes=np.full(networks, ""),
        samples=np.array([f"{name}/{i % EXPRESSIONS + 1:02d}" for i, name in enumerate(names)]),
        subjects=names,
        folds=subject % folds,
        truth=MEAN_SHAPE + departure,
        points=points.astype(np.float32),
        test_samples=none,
        test_subjects=none,
        test_points=np.empty((networks, folds, 0, *MEAN_SHAPE.shape), dtype=np.float32),
    )
