"""Variants of the network side by side: the same studio crops, held-out subjects, budget and seeds for all.

Writes output/bench/networks.csv and two pictures: NME with intervals, and how far predicted spreads can be believed.
Finished variants are kept, so a stopped run goes on, and more variants or seeds can be added to it.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import pandas as pd

from kpl import charts, compare, faces, folds, score
from kpl.bench.networks import calibration, measure, prior
from kpl.bench.networks.variants import BASELINE, COMMON, VARIANTS
from kpl.bench.report import publish
from kpl.config import ROOT, TrainFold
from kpl.cropping import recipes
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import atomic, read_npz
from kpl.networks import SUBSETS

FIELDS = ("samples", "nme", "inner_nme", "distance", "predicted")
SUBSET_NAMES = ["".join(str(view) for view in range(3) if subset[view]) for subset in SUBSETS]
ONE_VIEW, TWO_VIEWS = ([subset for subset in SUBSETS if sum(subset) == count] for count in (1, 2))
COSTS = ("parameters", "multiply_adds", "samples_per_s", "memory")


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    store = load_faces(options)
    runs = (
        options.output
        / "networks"
        / f"{options.backbone}_{options.image_size}px_{options.epochs}epochs".replace("/", "-")
    )
    configs = {
        (name, seed): make_config(name, seed, options, store, runs)
        for seed in range(options.seeds)
        for name in options.variants
    }
    train_all(list(configs.values()), store, options.jobs)
    found = {
        name: [read_npz(configs[name, seed].run_folder / measure.FILE, FIELDS + COSTS) for seed in range(options.seeds)]
        for name in options.variants
    }
    results = table(found, store)
    publish(results.round(5), options.output / "networks.csv")
    say_prior(results, found, configs, store)
    subjects = store.table.set_index("sample").loc[found[BASELINE][0]["samples"], "subject"].to_numpy()
    draw(results, found, subjects, options.output)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run_all.sh bench networks", description=__doc__)
    parser.add_argument(
        "--subjects", type=int, default=400, help="studio subjects, of 7 expressions each (default: 400)"
    )
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--image-size", type=int, default=64, metavar="PX")
    parser.add_argument("--crop-size", type=int, default=128, metavar="PX", help="of the stored crops (default: 128)")
    parser.add_argument("--backbone", default="hgnetv2_b0", help="of all variants (default: hgnetv2_b0)")
    parser.add_argument("--seeds", type=int, default=1, help="how often each variant is trained (default: 1)")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="trained at once, a thread each")
    parser.add_argument("--captures", type=Path, help="take these captures instead of making some")
    parser.add_argument("--faces", type=Path, help="take this store of crops instead of making one")
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "bench")
    options = parser.parse_args(arguments)
    options.variants = [BASELINE, *(name for name in options.variants if name != BASELINE)]
    options.output = options.output.resolve()
    return options


def load_faces(options: argparse.Namespace) -> FaceStore:
    """The store that was named, or one of the captures that were named, or one of new captures."""
    if options.faces is not None:
        return faces.load(options.faces.resolve())
    folder, captures = options.output / "networks", options.captures
    if captures is None:
        captures = folder / f"captures_{options.subjects}"
        studio = [sys.executable, "-m", "kpl.studio", "--out", str(captures), "--jobs", str(options.jobs)]
        made = subprocess.run(
            [*studio, "--train-subjects", str(options.subjects), "--test-subjects", "1", "--scale", "0.4"], check=False
        )
        if made.returncode:
            raise BadInput(f"the studio could not make {captures}: its own message is above.")
    recipe = recipes.get("centerface256", options.crop_size)
    crops = folder / f"{captures.resolve().name}_{recipe.label}"
    return faces.build(captures, crops, recipe.name, recipe.size, options.jobs)


def make_config(name: str, seed: int, options: argparse.Namespace, store: FaceStore, runs: Path) -> TrainFold:
    own = {
        "faces": str(store.folder),
        "runs": str(runs),
        "name": f"{name}_seed{seed}",
        "backbone": options.backbone,
        "image_size": options.image_size,
        "epochs": options.epochs,
        "seed": seed,
    }
    return TrainFold(**COMMON | VARIANTS[name] | own)


def train_all(configs: list[TrainFold], store: FaceStore, jobs: int) -> None:
    """Each in a fresh process, so that its peak of memory is its own."""
    # The folds are made before, or two processes would.
    folds.load_or_make(
        Path(configs[0].runs) / "folds.csv", store.table["subject"].to_numpy()[store.known], COMMON["folds"], 0
    )
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        for job in as_completed([pool.submit(measure.run, config) for config in configs]):
            job.result()


def table(found: dict[str, list[dict[str, np.ndarray]]], store: FaceStore) -> pd.DataFrame:
    """One row a variant. Errors of a sample are means over the seeds; intervals are bootstrapped over subjects."""
    by_sample = store.table.set_index("sample")
    samples = found[BASELINE][0]["samples"]
    subjects = by_sample.loc[samples, "subject"].to_numpy()
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
            | {
                "spread_raw": np.mean(
                    [calibration.rms(s["distance"][-1]) / calibration.rms(s["predicted"][-1]) for s in seeds]
                )
            }
            | {"spread_believed": np.mean([believed(seed, subjects, SUBSETS[-1:]) for seed in seeds])}
            | {"spread_believed_one_view": np.mean([believed(seed, subjects, ONE_VIEW) for seed in seeds])}
            | {
                "million_parameters": float(seeds[0]["parameters"]) / 1e6,
                "million_multiply_adds": float(seeds[0]["multiply_adds"]) / 1e6,
                "samples_per_s": np.median([seed["samples_per_s"] for seed in seeds]),
                "memory_mib": max(float(seed["memory"]) for seed in seeds) / 2**20,
            }
        )
    return pd.DataFrame(rows)


def say_prior(results: pd.DataFrame, found: dict, configs: dict, store: FaceStore) -> None:
    """Whether a shape prior would have made the best network better."""
    trained = results[results["variant"] != "mean_shape"]
    best = trained.loc[trained["nme"].idxmin(), "variant"]
    saved = read_npz(configs[best, 0].run_folder / "predictions.npz", ("samples", "points"))
    by_name = dict(zip(saved["samples"], saved["points"]))
    samples = found[best][0]["samples"]
    rows = pd.Series(np.arange(len(store.table)), index=store.table["sample"]).loc[samples].to_numpy()
    subjects = store.table["subject"].to_numpy()
    if len(np.unique(subjects[rows])) < 2:  # none to choose the rank on
        return
    training = store.known & ~np.isin(subjects, subjects[rows])
    points = np.stack([by_name[name] for name in samples]).astype(np.float64)
    refined, ranks = prior.refined_errors(points, store.points3d[rows], subjects[rows], store.points3d[training])
    change = compare.paired(refined, found[best][0]["nme"][-1], subjects[rows])
    print(
        f"{best} projected on the principal components of the training shapes ({min(ranks)} to {max(ranks)} of them, chosen "
        f"on other subjects): {change.ratio:.4f} of its error ({change.ratio_low:.4f} to {change.ratio_high:.4f})."
    )


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
        "difference": paired.difference,
        "difference_low": paired.low,
        "difference_high": paired.high,
        "to_mean_shape": to_constant.ratio,
        "to_mean_shape_high": to_constant.ratio_high,
    }


def with_views(measured: dict[str, np.ndarray], subjects: np.ndarray, subsets: list[list[bool]]) -> tuple:
    """Predicted (calibrated on other subjects) and real errors of all samples from the given subsets of views, (K,)
    each."""
    parts = [
        (calibration.calibrated(predicted, real, subjects).ravel(), real.ravel())
        for subset, predicted, real in zip(SUBSETS, measured["predicted"], measured["distance"])
        if subset in subsets
    ]
    return tuple(np.concatenate(part) for part in zip(*parts))


def believed(measured: dict[str, np.ndarray], subjects: np.ndarray, subsets: list[list[bool]]) -> float:
    """Real over predicted RMS error of the tenth of the landmarks with the largest predicted one: 1 is to be
    believed."""
    predicted, real = with_views(measured, subjects, subsets)
    doubtful = np.argsort(predicted)[-len(predicted) // 10 :]
    return calibration.rms(real[doubtful]) / calibration.rms(predicted[doubtful])


def draw(
    results: pd.DataFrame, found: dict[str, list[dict[str, np.ndarray]]], subjects: np.ndarray, folder: Path
) -> None:
    """networks.png and networks_spread.png."""
    trained = results[results["variant"] != "mean_shape"]
    bars = charts.intervals(
        trained["variant"].tolist(),
        trained["nme"].tolist(),
        trained["nme_low"].tolist(),
        trained["nme_high"].tolist(),
        "NME of held-out subjects with 95 % interval (dashed: the mean shape)",
        results["nme"].iloc[0],
    )
    spreads = {}
    for name, seeds in found.items():
        spreads[name] = with_views(seeds[0], subjects, SUBSETS[-1:])
        if VARIANTS[name].get("view_dropout"):
            spreads[f"{name}: two views"] = with_views(seeds[0], subjects, TWO_VIEWS)
            spreads[f"{name}: one view"] = with_views(seeds[0], subjects, ONE_VIEW)
    for figure, name in ((bars, "networks.png"), (charts.reliability(spreads), "networks_spread.png")):
        with atomic(folder / name) as temporary:
            figure.savefig(temporary, dpi=120)
