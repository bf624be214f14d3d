"""The ensemble against its best network: several networks in all folds, their averages and second layers, and the
choice.

`./run_all.sh bench ensemble`: trains what is not trained yet on a store of crops, a thread and a process each, and goes
on where it was stopped; then everything that 03_oof and 04_stack do. Errors are out of fold; "nested" is the layer
chosen without the say of the subjects that it is scored on, so that its lead over the best network is not flattered.
"""

import argparse
import ast
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

from kpl import compare, config, faces, oof, score, stack
from kpl.bench import report
from kpl.config import ROOT, TrainFold
from kpl.reporting import results
from kpl.stacking import coordinates, copies

# Small networks that differ in what they see and how: what each changes of the common settings.
COMMON = {"epochs": 6, "batch_size": 8, "lr": 3e-3, "image_size": 64, "weights": "none"}
NETWORKS = {
    "resnet10t_64": {"backbone": "resnet10t"},
    "resnet10t_64_sequence": {"backbone": "resnet10t", "head": "sequence", "seed": 1},
    "hgnetv2_64": {"backbone": "hgnetv2_b0", "seed": 2},
    "mobilenetv4_96": {"backbone": "mobilenetv4_conv_small", "image_size": 96, "seed": 3},
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="./run_all.sh bench ensemble", description=__doc__)
    parser.add_argument("--faces", default="output/faces/centerface256", help="store of crops; default: %(default)s")
    parser.add_argument("--runs", default="output/bench/ensemble/runs", help="of the networks; default: %(default)s")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NAME")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=COMMON["epochs"])
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="trained at once, a thread each")
    parser.add_argument("--layers", nargs="+", choices=stack.LAYERS, default=list(stack.LAYERS))
    parser.add_argument("--out", type=Path, default=config.path("output/bench/ensemble.csv"))
    options = parser.parse_args(arguments)
    train(options)
    runs, store_of_faces = config.path(options.runs), faces.load(config.path(options.faces))
    store, left_out = oof.gather(runs, store_of_faces)
    store, trials = copies.average_where_better(store, runs, store_of_faces)
    print(*left_out, trials.round(4).to_string(), sep="\n")
    report.publish(compared(store, options.layers, options.out.with_name("coordinates.csv")).round(5), options.out)


def compared(store: oof.OofStore, layers: list[str], duel_file: Path) -> pd.DataFrame:
    """Networks, layers, the choice and the nested choice: scores, ratio to the best network with interval, seconds."""
    points = {"mean_shape": results.mean_shape(store), **dict(zip(store.networks, store.points))}
    errors = {name: score.nme(shapes, store.truth) for name, shapes in points.items()}
    best = min(store.networks, key=lambda name: errors[name].mean())
    answers, seconds = {}, {}
    for name in layers:
        started = perf_counter()
        answers[name] = stack.cross_fit(stack.LAYERS[name], store, seed=0)
        seconds[name] = perf_counter() - started
    if set(stack.BLENDED) <= set(layers):
        answers["blend"], seconds["blend"] = stack.blended(answers), sum(seconds[name] for name in stack.BLENDED)
    layers = list(answers)
    of_layers = {name: score.nme(points, store.truth) for name, points in answers.items()}
    choice = stack.choose(of_layers, store.subjects)
    print(choice.reason)
    nested = stack.nested_choice(of_layers, stack.subject_groups(store), store.subjects)
    picked = np.array([layers.index(name) for name in nested])
    points |= answers
    points |= {"chosen: " + choice.name: answers[choice.name]}
    points["nested"] = np.stack(list(answers.values()))[picked, np.arange(len(picked))]
    if {"lightgbm", "neural"} <= set(layers):
        duel = coordinates.side_by_side(
            answers["lightgbm"], answers["neural"], store.truth, store.subjects, ("lightgbm", "neural")
        )
        results.write(duel_file, duel)
        print("coordinates, surely better:", duel["better"].value_counts().to_dict(), "; all in", duel_file)
    rows = []
    for name, shapes in points.items():
        gain = compare.paired(score.nme(shapes, store.truth), errors[best], store.subjects)
        rows.append(
            results.row(name, "oof", shapes, store.truth, store.subjects)
            | {"ratio_to_best": gain.ratio, "ratio_low": gain.ratio_low, "ratio_high": gain.ratio_high}
            | {"difference": gain.difference, "low": gain.low, "high": gain.high, "seconds": seconds.get(name, np.nan)}
        )
    return pd.DataFrame(rows).drop(columns="split")


def train(options: argparse.Namespace) -> None:
    """Train the folds that are not finished."""
    made = [settings(name, fold, options) for fold in range(options.folds) for name in options.networks]
    waiting = [one for one in made if not (one.run_folder / "done.json").exists()]
    if not waiting:
        return
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # read by the children
    started = perf_counter()
    if not (config.path(options.runs) / "folds.csv").exists():
        train_one(waiting.pop(0))  # alone: it makes the folds that the others read
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(train_one, one): one for one in waiting}
        for number, future in enumerate(as_completed(futures), start=1):
            future.result()
            one = futures[future]
            print(
                f"{number}/{len(waiting)} {one.run_name} fold {one.fold}, {perf_counter() - started:.0f} s", flush=True
            )


def train_one(one: TrainFold) -> None:
    """Train a fold, in a process of its own."""
    from kpl import train as training  # in the child: its imports take seconds

    training.train_fold(one, faces.load(config.path(one.faces)))


def settings(name: str, fold: int, options: argparse.Namespace) -> TrainFold:
    """The notebook's defaults, with this network's changes."""
    own = {"name": name, "fold": fold, "folds": options.folds, "faces": str(options.faces), "runs": str(options.runs)}
    changes = COMMON | {"epochs": options.epochs} | NETWORKS[name] | own
    return config.checked(TrainFold, defaults() | changes)


def defaults() -> dict:
    """The parameters cell of 02_train_fold."""
    cells = json.loads((ROOT / "notebooks" / "02_train_fold.ipynb").read_text(encoding="utf-8"))["cells"]
    source = next("".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", []))
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
    }
