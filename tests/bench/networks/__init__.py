"""Variants of the network side by side: the same studio crops, held-out subjects, budget and seeds for all.

Writes output/bench/networks.csv and a picture of it. Finished variants are kept, so a stopped run goes on, and more variants or seeds can be added to it.
"""

import argparse
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import cpu_count

from bench import report
from bench.networks import measure
from bench.networks.variants import BASELINE, COMMON, VARIANTS
from kpl import compare, draw, faces, score
from kpl.config import TrainFold, checked, defaults, path
from kpl.errors import BadInput
from kpl.faces import FaceStore, recipes
from kpl.files import atomic, read_npz
from kpl.networks import SUBSETS
from kpl.train import hold_out

FIELDS = ("samples", "nme", "inner_nme")
COSTS = ("parameters", "multiply_adds", "samples_per_s", "memory")
SUBSET_NAMES = ["".join(str(view) for view in range(3) if subset[view]) for subset in SUBSETS]
Measured = dict[str, np.ndarray]  # what measure.run leaves


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    store = load_faces(options)
    planned = {
        (name, seed): config(name, seed, options, store.folder)
        for name in options.variants
        for seed in range(options.seeds)
    }
    places = {which: checked(TrainFold, parameters) for which, parameters in planned.items()}
    hold_out(places[BASELINE, 0], store)  # makes the folds, or two processes would
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        options.jobs, context, max_tasks_per_child=1
    ) as pool:  # each with a peak of memory of its own
        list(pool.map(measure.run, planned.values()))
    found = {
        name: [read_npz(places[name, seed].run_folder / measure.FILE, FIELDS + COSTS) for seed in range(options.seeds)]
        for name in options.variants
    }
    results = table(found, store)
    report.publish(results.round(5), options.out)
    draw_picture(results, options.out)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = report.parser("networks", __doc__)
    add = parser.add_argument
    add("--subjects", type=int, default=400, help="studio subjects, of 7 expressions each (default: 400)")
    add("--epochs", type=int, default=10)
    add("--image-size", type=int, default=64, metavar="PX")
    add("--crop-size", type=int, default=128, metavar="PX", help="of the stored crops (default: 128)")
    add("--backbone", default="mobilenetv2", help="of all variants, with packaged weights (default: mobilenetv2)")
    add("--seeds", type=int, default=1, help="how often each variant is trained (default: 1)")
    add("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    add("--weights", default=COMMON["weights"], help="as of 02_train_fold (default: packaged)")
    add("--jobs", type=int, default=cpu_count(), help="trained at once, a thread each")
    add("--captures", type=path, help="take these captures instead of making some")
    add("--faces", type=path, help="take this store of crops instead of making one")
    options = parser.parse_args(arguments)
    options.variants = [BASELINE, *(name for name in options.variants if name != BASELINE)]
    return options


def load_faces(options: argparse.Namespace) -> FaceStore:
    """The store that was named, or one of the captures that were named, or one of new captures."""
    if options.faces is not None:
        return faces.load(options.faces)
    folder, captures = options.out.with_suffix(""), options.captures
    if captures is None:
        captures = folder / f"captures_{options.subjects}"
        studio = [
            sys.executable,
            "-m",
            "kpl.studio",
            "--out",
            str(captures),
            "--jobs",
            str(options.jobs),
            "--scale",
            "0.4",
        ]
        people = ["--train-subjects", str(options.subjects), "--test-subjects", "1"]
        if subprocess.run([*studio, *people], check=False).returncode:
            raise BadInput(f"the studio could not make {captures}: its own message is above.")
    recipe = recipes.get("centerface256", options.crop_size)
    return faces.build(captures, folder / f"{captures.name}_{recipe.label}", recipe.name, recipe.size, options.jobs)


def config(name: str, seed: int, options: argparse.Namespace, crops: Path) -> dict:
    """The parameters of 02_train_fold for one variant."""
    runs = f"{options.backbone}_{options.image_size}px_{options.epochs}epochs".replace("/", "-")
    own = {
        "faces": str(crops),
        "runs": str(options.out.with_suffix("") / runs),
        "name": f"{name}_seed{seed}",
        "seed": seed,
    }
    own |= {"backbone": options.backbone, "image_size": options.image_size, "epochs": options.epochs, "weights": options.weights}
    return defaults("02_train_fold") | COMMON | VARIANTS[name] | own


def table(found: dict[str, list[Measured]], store: FaceStore) -> pd.DataFrame:
    """One row a variant. Errors of a sample are means over the seeds; intervals are bootstrapped over subjects."""
    samples = found[BASELINE][0]["samples"]
    subjects = store.table.set_index("sample").loc[samples, "subject"].to_numpy()
    constant = mean_shape_errors(store, samples)
    errors = {name: np.mean([seed["nme"] for seed in seeds], axis=0) for name, seeds in found.items()}  # (7, H)
    rows = [{"variant": "mean_shape", **scores(constant, subjects, constant, errors[BASELINE][-1])}]
    for name, seeds in found.items():
        views = dict(zip(SUBSET_NAMES, errors[name].mean(axis=1)))
        rows.append(
            {"variant": name}
            | scores(errors[name][-1], subjects, constant, errors[BASELINE][-1])
            | {"inner_nme": np.mean([seed["inner_nme"][-1] for seed in seeds])}
            | {"seeds_range": np.ptp([seed["nme"][-1].mean() for seed in seeds])}
            | {f"nme_views_{seen}": value for seen, value in views.items() if seen != "012"}
            | {"gain_over_best_view": 1 - views["012"] / min(views["0"], views["1"], views["2"])}
            | {"million_parameters": float(seeds[0]["parameters"]) / 1e6}
            | {"million_multiply_adds": float(seeds[0]["multiply_adds"]) / 1e6}
            | {"samples_per_s": np.median([seed["samples_per_s"] for seed in seeds])}
            | {"memory_gb": max(float(seed["memory"]) for seed in seeds)}
        )
    return pd.DataFrame(rows)


def mean_shape_errors(store: FaceStore, samples: np.ndarray) -> np.ndarray:
    """NME of the training samples' mean shape on the held-out `samples`."""
    held_out = store.table["sample"].isin(samples).to_numpy()
    mean = store.points3d[store.known & ~held_out].mean(axis=0)
    row = pd.Series(np.arange(len(store.table)), index=store.table["sample"]).loc[samples]
    truth = store.points3d[row]
    return score.nme(np.broadcast_to(mean, truth.shape), truth)


def scores(errors: np.ndarray, subjects: np.ndarray, constant: np.ndarray, baseline: np.ndarray) -> dict[str, float]:
    """NME with its interval, AUC, failures, and the paired comparisons to the baseline and to the mean shape."""
    nme = compare.interval(errors, subjects)
    paired, to_constant = compare.paired(errors, baseline, subjects), compare.paired(errors, constant, subjects)
    return {
        "nme": nme.mean,
        "nme_low": nme.low,
        "nme_high": nme.high,
        "auc": score.auc(errors),
        "failure_rate": score.failure_rate(errors),
        "to_baseline": paired.ratio,
        "to_baseline_low": paired.ratio_low,
        "to_baseline_high": paired.ratio_high,
        "to_mean_shape": to_constant.ratio,
        "to_mean_shape_high": to_constant.ratio_high,
    }


def draw_picture(results: pd.DataFrame, out: Path) -> None:
    """networks.png, beside the table."""
    trained = results[results["variant"] != "mean_shape"]
    columns = (trained[name].tolist() for name in ("variant", "nme", "nme_low", "nme_high"))
    label = "NME of held-out subjects with 95 % interval (dashed: the mean shape)"
    with atomic(out.with_suffix(".png")) as temporary:
        draw.intervals(*columns, label, results["nme"].iloc[0]).savefig(temporary, dpi=120)
