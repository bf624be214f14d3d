"""The ensemble against its best network: several networks in all folds, their averages, second layers, and the choice.

`./run_all.sh bench ensemble`: trains what is not trained yet on a store of crops, a thread and a process each, and goes
on where it was stopped; then everything that 03_oof and 04_stack do. Errors are out of fold; "nested" is the layer
chosen without the say of the subjects that it is scored on, so that its lead over the best network is not flattered.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import cells
import numpy as np
import pandas as pd
from joblib import cpu_count

from bench import report
from kpl import compare, faces, score, stack
from kpl.config import path
from kpl.errors import BadInput

# Small networks that differ in what they see and how: what each changes of the notebook's parameters.
COMMON = {"epochs": 4, "batch_size": 4, "points2d": 1.0, "weights": "packaged", "frozen": True, "tracker": "none"}
NETWORKS = {
    "mobilenetv2_64": {"backbone": "mobilenetv2"},
    "mobilenetv2_64_sequence": {"backbone": "mobilenetv2", "head": "sequence", "seed": 1},
    "lite0_64": {"backbone": "lite0", "seed": 2},
    "mobilenetv2_80": {"backbone": "mobilenetv2", "image_size": 80, "seed": 3},
}


def main(arguments: list[str]) -> None:
    layers = stack.method()["layers"]
    parser = report.parser("ensemble", __doc__)
    parser.add_argument("--faces", type=path, default=path("output/faces/centerface256"), help="store of crops")
    parser.add_argument("--runs", type=path, default=path("output/bench/ensemble/runs"), help="of the networks")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NAME")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=COMMON["epochs"])
    parser.add_argument("--jobs", type=int, default=cpu_count(), help="trained at once, a thread each")
    parser.add_argument("--layers", nargs="+", choices=layers, default=list(layers), metavar="NAME")
    options = parser.parse_args(arguments)
    train_all(options)
    crops = faces.load(options.faces)
    store, left_out = stack.gather(options.runs, crops, ",".join(options.networks))
    print(*left_out, sep="\n")
    wanted = {name: layers[name] for name in dict.fromkeys([*stack.FALLBACKS, *options.layers])}
    report.publish(compared(store, wanted).round(5), options.out)


def train_all(options: argparse.Namespace) -> None:
    """Train the folds that are not finished; the first alone, since it makes the folds that the others read."""
    common = COMMON | {"faces": str(options.faces), "runs": str(options.runs), "epochs": options.epochs}
    planned = [
        common | NETWORKS[name] | {"name": name, "fold": fold, "folds": options.folds}
        for fold in range(options.folds)
        for name in options.networks
        if not (options.runs / name / f"fold{fold}" / "done.json").exists()
    ]

    def one(parameters: dict) -> None:
        if cells.start("02_train_fold", parameters, threads=1).wait():
            raise BadInput(f"{parameters['name']} fold {parameters['fold']} failed: its message is above.")
        print(f"{parameters['name']} fold {parameters['fold']} is trained", flush=True)

    with ThreadPoolExecutor(options.jobs) as pool:
        if planned and not (options.runs / "folds.csv").exists():
            one(planned.pop(0))
        list(pool.map(one, planned))


def compared(store: stack.OofStore, layers: dict) -> pd.DataFrame:
    """Networks, layers, the choice and the nested choice: scores, ratio to the best network with interval, seconds."""
    answers, seconds = {}, {}
    for name, layer in layers.items():
        started = perf_counter()
        answers[name] = stack.cross_fit(layer, store, seed=0)
        seconds[name] = perf_counter() - started
    if set(stack.BLENDED) <= set(layers):
        answers["blend"], seconds["blend"] = stack.blended(answers), sum(seconds[name] for name in stack.BLENDED)
    of_layers = {name: score.nme(points, store.truth) for name, points in answers.items()}
    choice = stack.choose(of_layers, store.subjects)
    print(choice.reason)
    picked = [list(answers).index(name) for name in stack.nested_choice(of_layers, store.groups, store.subjects)]
    networks = dict(zip(store.networks.tolist(), store.points))
    points = {
        "mean_shape": stack.mean_shape(store),
        **networks,
        **answers,
        f"chosen: {choice.name}": answers[choice.name],
    }
    points["nested"] = np.stack(list(answers.values()))[picked, np.arange(len(picked))]
    best = min((score.nme(shapes, store.truth) for shapes in networks.values()), key=np.mean)
    rows = []
    for name, shapes in points.items():
        gain = compare.paired(score.nme(shapes, store.truth), best, store.subjects)
        row = compare.row(name, "oof", shapes, store.truth, store.subjects)
        row |= {"ratio_to_best": gain.ratio, "ratio_low": gain.ratio_low, "ratio_high": gain.ratio_high}
        rows.append(row | {"seconds": seconds.get(name, np.nan)})
    return pd.DataFrame(rows).drop(columns="split")
