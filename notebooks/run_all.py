"""Three-view face captures in, a scored submission out. Running again goes on where it stopped."""

import argparse
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from conductor import NOTEBOOKS, Stage, cluster, locked, run, run_stages

import kpl
from kpl.errors import BadInput

ROOT = NOTEBOOKS.parent
PROFILES = tomllib.loads((NOTEBOOKS / "profiles.toml").read_text(encoding="utf-8"))
BASELINE = {"name": "baseline", "fusion": "average", "head": "linear", "share": "all", "points2d": 0.0}


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options, with the profile's where none is given."""
    others = "Also: ./run_all.sh test [pytest options], bench [name ...], lab: the tests, benchmarks, JupyterLab."
    add = (parser := argparse.ArgumentParser(prog="./run_all.sh", description=__doc__, epilog=others)).add_argument
    add("--profile", choices=PROFILES, default="demo", help="of notebooks/profiles.toml; default: demo, for two cores")
    add("--backbones", nargs="+", metavar="NAME", help="short names or timm names; default by profile")
    add("--sizes", nargs="+", type=int, metavar="PX", help="image sizes, from 32; default by profile")
    add("--recipes", nargs="+", metavar="NAME", help="of 01_preprocess; default by profile")
    add("--folds", type=int, metavar="K", help="folds by subject, from 2; default by profile")
    add("--epochs", type=int, metavar="N", help="of every network; default by profile")
    add("--data", type=Path, metavar="FOLDER", help="captures; default: the studio makes them in input/studio")
    add("--output", type=Path, metavar="FOLDER", default=ROOT / "output", help="default: output")
    add("--timeout", type=float, metavar="MINUTES", default=60, help="a stage silent for so long hangs; default: 60")
    add("--engine", choices=["local", "ray"], default="local", help="folds train on this machine, or on a Ray cluster")
    add("--jobs", type=int, metavar="N", help="local: folds at once; default: one a GPU, or one a core")
    add("--address", help="ray: auto, host:port or ray://host:port; default: a cluster of this machine alone")
    add("--gpus-per-fold", type=float, metavar="G", help="ray: default 1 if a node has any, else 0")
    add("--cpus-per-fold", type=float, metavar="C", help="ray: default 1")
    options = parser.parse_args(arguments)
    for name, value in PROFILES[options.profile].items():
        setattr(options, name, getattr(options, name, None) or value)
    options.shared = options.shared | ({"epochs": options.epochs} if options.epochs else {})
    options.output, options.data = options.output.resolve(), options.data and options.data.resolve()
    if options.data and not options.data.is_dir():
        parser.error(f"{options.data} is not a folder: give the folder of the captures to --data")
    if min(options.sizes) < 32 or options.folds < 2 or options.timeout <= 0 or (options.jobs or 1) < 1:
        parser.error("--sizes starts at 32, --folds at 2 and --jobs at 1, and --timeout must be greater than 0")
    rays = options.address or options.gpus_per_fold is not None or options.cpus_per_fold is not None
    if options.jobs if options.engine == "ray" else rays:
        parser.error("--address, --*-per-fold belong to --engine ray, and --jobs belongs to --engine local")
    return options


def networks(options: argparse.Namespace) -> list[tuple[str, dict[str, Any]]]:
    """(recipe, parameters of 02_train_fold) of each. Of several recipes they are named after theirs: all share a folder."""
    grid = dict.fromkeys(product(options.recipes, options.backbones, options.sizes))
    planned = [(recipe, {"backbone": backbone, "image_size": size}) for recipe, backbone, size in grid]
    for recipe, one in planned if len(set(options.recipes)) > 1 else []:
        one["name"] = f"{one['backbone']}_{one['image_size']}_{recipe}".replace("/", "-")
    return [*planned, (options.recipes[0], BASELINE | options.baseline)]


def look(data: Path) -> tuple[str, int]:
    """A checksum of the names, sizes and times of a folder's files, and how many samples there are by the pictures."""
    files = sorted(os.path.join(folder, name) for folder, _, names in os.walk(data) for name in names)
    seen = [(file, os.stat(file).st_size, os.stat(file).st_mtime_ns) for file in files]
    pictures = [file for file in files if file.lower().endswith((".jpg", ".jpeg", ".png", ".bmp"))]
    return kpl.files.checksum(seen), len(pictures) // 3


def cost(options: argparse.Namespace, samples: int, gpus: int, cores: int) -> str:
    """What training will take, counted on models without memory: three views, and the way back costs twice the way there."""
    planned, epochs = [one for _, one in networks(options)], options.shared["epochs"]
    forward = sum(kpl.networks.backbones.operations(one["backbone"], one["image_size"]) for one in planned)
    total = 3 * 3 * forward * epochs * samples * (options.folds - 1)  # each fold learns from the others
    speed, lent = (30e12 * gpus, f"{gpus} GPUs") if gpus else (25e9 * cores, f"{cores} cores")  # GPUs' is assumed
    what = f"{len(planned)} networks x {options.folds} folds x {epochs} epochs on up to {samples} samples"
    return f"{what}: {total:.1e} operations, {total / speed / 3600:,.1f} hours on {lent}, within a factor of three."


def refuse(folds: list[tuple[Any, Any]]) -> None:
    """Raise BadInput for what would end a training or a stage after it; folds: (parameters, store) of each."""
    try:
        for p, store in folds:
            subjects, need = store.table["subject"][store.has_truth].nunique(), kpl.stack.FEWEST
            if subjects < need:
                raise BadInput(f"{subjects} subjects' truth is known, and second layers need {need}: add captures.")
            kpl.train.hold_out(p, store)
            kpl.train.refuse_another(p, store)
    except BadInput as error:
        raise BadInput(f"{str(error).rstrip('.')} (another --output is another runs folder).") from None


def train(options: argparse.Namespace, stage: Callable[..., Stage], gpus: int, cores: int) -> tuple[str, str]:
    """02_train_fold for each network and fold: a checksum that stands for all of them, and the networks' names."""
    defaults, folds, planned = kpl.config.defaults("02_train_fold"), [], []
    for (recipe, network), fold in product(networks(options), range(options.folds)):
        own = options.shared | network | {"fold": fold, "folds": options.folds}
        own |= {"faces": f"{options.output}/faces/{recipe}", "runs": f"{options.output}/runs"}
        p, store = kpl.config.checked(kpl.config.TrainFold, defaults | own), kpl.faces.load(own["faces"])
        name = network.get("name", f"{p.backbone}_{p.image_size}").replace("/", "-")
        folds.append(stage(f"02_{name}_fold{fold}", p.run_folder / "done.json", store.fingerprint, **own))
        planned.append((p, store))
    refuse(planned)
    jobs, timeout = min(options.jobs or gpus or cores, len(folds)), 60 * options.timeout
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus)))).split(",")[:gpus]
    engine = partial(run, timeout=timeout, threads=max(1, cores // jobs), gpus=visible)
    if options.engine == "ray":
        jobs, engine = len(folds), cluster(timeout, options.address, options.cpus_per_fold or 1, options.gpus_per_fold)
    return run_stages(folds, engine, jobs), ",".join(dict.fromkeys(p.run_name for p, _ in planned))


def run_all(options: argparse.Namespace) -> None:
    """Every stage in order. Raises BadInput."""
    import joblib  # here and not above: --help needs no environment
    import pandas
    import torch

    output, data = options.output, options.data or ROOT / "input" / "studio"
    if not options.data and subprocess.call([sys.executable, "-m", "kpl.studio", "--out", data], cwd=ROOT):
        raise BadInput("the studio failed: its message is above; the same command goes on where it stopped.")
    (captures, samples), gpus, cores = look(data), torch.cuda.device_count(), joblib.cpu_count()
    print("== " + cost(options, samples, gpus, cores), flush=True)

    def stage(label: str, made: str | Path, inputs: str, **parameters: Any) -> Stage:
        return Stage(output / "notebooks" / f"{label}.ipynb", output / made, inputs, parameters)

    here, cut = partial(run, timeout=60 * options.timeout, threads=cores, bars=sys.stdout.isatty()), {}
    for recipe in options.recipes:
        label, own = f"01_preprocess_{recipe}" if cut else "01_preprocess", {"faces": f"{output}/faces/{recipe}"}
        cut[recipe] = stage(label, f"faces/{recipe}/done.json", captures, captures=f"{data}", recipe=recipe, **own)
    run_stages([*cut.values()], here)
    key, names = train(options, stage, gpus, cores)
    store, runs = {"oof": f"{output}/oof"}, {"faces": f"{output}/faces/{options.recipes[0]}", "runs": f"{output}/runs"}
    key = run_stages([stage("03_oof", "oof/oof.npz", key, **runs, **store, networks=names)], here)
    store["stack"] = f"{output}/stack"
    key = run_stages([stage("04_stack", "stack/choice.json", key, **store)], here)
    files = {"truth": f"{data}/held_out", "submission": f"{output}/submission.txt", "results": f"{output}/results.csv"}
    last = stage("05_submit", "results.csv", key, **runs, **store, **files)
    run_stages([last], here)
    if subprocess.call([sys.executable, ROOT / "notebooks/report.py", last.executed, output / "report.html"]):
        raise BadInput("the report failed: its message is above; the results and the submission are there.")
    print("\n" + pandas.read_csv(last.product).to_string(index=False, float_format="%.4f"), flush=True)
    if look(data)[0] != captures:
        print(f"\nThe captures in {data} have changed while this ran: all of the above is of those it started with.")


def main() -> int:
    options, started = parse(sys.argv[1:]), time.time()
    try:
        with locked(options.output):
            run_all(options)
        print(f"\nDone in {(time.time() - started) / 60:.1f} minutes: everything is in {options.output}", flush=True)
        return 0
    except (BadInput, OSError, KeyboardInterrupt) as error:
        said, full = str(error) or "interrupted; the same command goes on from here.", kpl.files.no_room(error)
        if isinstance(error, OSError) and not full:
            raise
        room = f" {options.output} has {shutil.disk_usage(options.output).free / 1e6:,.0f} MB free: make room."
        print(f"\nrun_all: {said}{room * full}", file=sys.stderr, flush=True)
        return 130 if isinstance(error, KeyboardInterrupt) else 1


if __name__ == "__main__":
    os._exit(main())  # stages that still run, after a full disk or an interruption, end with this process
