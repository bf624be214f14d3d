"""The five notebooks in order, each network and fold as a run of 02_train_fold; called by run_all.sh.

What is finished is not repeated (kpl.conduct.stages), and folds run side by side on this machine or on a cluster
(kpl.conduct.local, kpl.conduct.cluster). Needs the standard library only until there is something to run.
"""

import argparse
import csv
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from kpl.conduct import cluster, disk, local, profiles, snapshot
from kpl.conduct.stages import Engine, Stage, StageFailed, listing, run_stages
from kpl.config import ROOT
from kpl.errors import BadInput

STUDIO = ROOT / "input" / "studio"


def main() -> int:
    options = parse(sys.argv[1:])
    started = time.time()
    try:
        run_all(options)
    except (StageFailed, BadInput) as failure:
        print(f"\nrun_all: {failure}", file=sys.stderr)
        return 1
    except OSError as error:
        if not disk.is_full(str(error)):
            raise
        print(
            f"\nrun_all: {error}; {disk.state(options.output)}: make room; what is finished is kept, "
            "the same command goes on from here.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("\nrun_all: interrupted; the same command goes on from here.", file=sys.stderr)
        return 130
    print(
        f"\nDone in {(time.time() - started) / 60:.1f} minutes. The submission is {options.output / 'submission.txt'}"
    )
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./run_all.sh",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Three-view face captures in, a scored submission out. Running again goes on where it stopped.",
        epilog="Also: ./run_all.sh test [pytest options]   the tests\n"
        "      ./run_all.sh bench [name ...]        benchmarks\n"
        "      ./run_all.sh lab                     JupyterLab",
    )
    parser.add_argument(
        "--profile",
        choices=profiles.PROFILES,
        default="demo",
        help="demo: small networks on two cores; full: the method as published, for GPUs; tiny: a smoke test; "
        "default: %(default)s",
    )
    parser.add_argument("--backbones", nargs="+", metavar="NAME", help="short names or timm names; default by profile")
    parser.add_argument("--sizes", nargs="+", type=int, metavar="PX", help="image sizes; default by profile")
    parser.add_argument("--recipes", nargs="+", metavar="NAME", help="of 01_preprocess; default by profile")
    parser.add_argument("--folds", type=int, metavar="K", help="folds of GroupKFold by subject; default by profile")
    parser.add_argument("--epochs", type=int, help="epochs of every network; default by profile")
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="captures; default: the studio makes them in input/studio"
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", default=ROOT / "output", help="default: output")
    parser.add_argument(
        "--timeout", type=float, metavar="MINUTES", default=60, help="a stage silent for so long hangs; default: 60"
    )
    engines = parser.add_argument_group("where the folds are trained")
    engines.add_argument("--engine", choices=["local", "ray"], default="local", help="this machine, or a Ray cluster")
    engines.add_argument(
        "--jobs", type=int, metavar="N", help="local: folds at once; default: one a GPU, or one a core"
    )
    engines.add_argument(
        "--address",
        help="ray: auto, host:port or ray://host:port of a cluster whose nodes share this folder, the data and the "
        "output at the same paths; default: starts one of this machine alone",
    )
    engines.add_argument("--gpus-per-fold", type=float, metavar="G", help="ray: default 1 if a node has any, else 0")
    engines.add_argument(
        "--cpus-per-fold", type=float, metavar="C", help="ray: default 1, or a node's share for each of its GPUs"
    )
    options = parser.parse_args(arguments)
    profile = profiles.PROFILES[options.profile]
    options.folds = options.folds or profile["folds"]
    options.recipes = options.recipes or profile["recipes"]
    options.shared = profile["shared"] | ({"epochs": options.epochs} if options.epochs else {})
    options.networks = profiles.networks(profile, options.backbones, options.sizes, options.recipes)
    options.output = options.output.resolve()
    if options.data is not None and not options.data.is_dir():
        parser.error(f"{options.data} is not a folder: give the folder of the captures to --data")
    if min(options.sizes or [32]) < 32 or options.folds < 2:
        parser.error("--sizes starts at 32 and --folds at 2")
    if options.timeout <= 0 or (options.jobs is not None and options.jobs < 1):
        parser.error("--timeout must be greater than 0, and --jobs at least 1")
    if options.engine == "local" and (options.address, options.gpus_per_fold, options.cpus_per_fold) != (None,) * 3:
        parser.error("--address, --gpus-per-fold and --cpus-per-fold belong to --engine ray")
    if options.engine == "ray" and options.jobs:
        parser.error("--jobs belongs to --engine local: Ray fills the nodes by --cpus-per-fold and --gpus-per-fold")
    return options


def run_all(options: argparse.Namespace) -> None:
    """Every stage in order. Raises StageFailed."""
    output = options.output
    unwritable = disk.why_unwritable(output)
    if unwritable:
        raise StageFailed(unwritable)
    here = partial(local.run, jobs=1, timeout=60 * options.timeout)
    runs, oof, stack = (str(output / name) for name in ("runs", "oof", "stack"))
    faces = {recipe: str(output / "faces" / recipe) for recipe in options.recipes}
    main_faces = faces[options.recipes[0]]

    data = options.data.resolve() if options.data else STUDIO
    if options.data is None:
        make_studio()
    print("== " + cost(options, data), flush=True)

    captures = listing(data)
    preprocess = {"captures": str(data), "jobs": local.cores()}
    stages = [
        Stage(
            "01_preprocess" if recipe == options.recipes[0] else f"01_preprocess_{recipe}",
            "01_preprocess",
            preprocess | {"recipe": recipe, "faces": folder},
            captures,
        )
        for recipe, folder in faces.items()
    ]
    run_stages(stages, output, here)
    seen = {recipe: snapshot.fingerprint(Path(folder)) for recipe, folder in faces.items()}
    snapshot.refuse_other_faces(Path(runs), set(seen.values()))

    folds = [
        Stage(
            f"02_{network.get('name') or '{backbone}_{image_size}'.format(**network)}_fold{fold}".replace("/", "-"),
            "02_train_fold",
            {"faces": faces[recipe], "runs": runs, "folds": options.folds} | options.shared | network | {"fold": fold},
            seen[recipe],
        )
        for recipe, network in options.networks
        for fold in range(options.folds)
    ]
    key = run_stages(folds, output, fold_engine(options))
    snapshot.refuse_other_faces(Path(runs), {snapshot.fingerprint(Path(folder)) for folder in faces.values()})

    key = run_stages([Stage("03_oof", "03_oof", {"faces": main_faces, "runs": runs, "oof": oof}, key)], output, here)
    key = run_stages([Stage("04_stack", "04_stack", {"oof": oof, "stack": stack}, key)], output, here)
    submit = {
        "faces": main_faces,
        "runs": runs,
        "oof": oof,
        "stack": stack,
        "truth": str(data / "held_out"),
        "submission": str(output / "submission.txt"),
        "results": str(output / "results.csv"),
    }
    run_stages([Stage("05_submit", "05_submit", submit, key)], output, here)
    print_results(output / "results.csv")
    if listing(data) != captures:
        print(f"\nThe captures in {data} have changed while this ran: all of the above is of those it started with.")


def cost(options: argparse.Namespace, data: Path) -> str:
    """What the training will take here, or so many cores of a cluster as are here."""
    samples = profiles.count_samples(data)
    epochs = options.shared["epochs"]
    return profiles.cost(options.networks, options.folds, epochs, samples, local.gpu_count(), local.cores())


def fold_engine(options: argparse.Namespace) -> Engine:
    """What trains the folds, by the options."""
    timeout = 60 * options.timeout
    if options.engine == "ray":
        return partial(
            cluster.run,
            timeout=timeout,
            address=options.address,
            cpus=options.cpus_per_fold,
            gpus=options.gpus_per_fold,
        )
    gpus = local.gpu_count()
    return partial(local.run, jobs=options.jobs or gpus or local.cores(), timeout=timeout, gpus=gpus)


def make_studio() -> None:
    """Let the studio make its captures; it returns at once when they are there."""
    command = [sys.executable, "-m", "kpl.studio", "--out", str(STUDIO)]
    print("== studio: captures in input/studio", flush=True)
    if subprocess.run(command, cwd=ROOT).returncode:
        raise StageFailed("the studio failed: its message is above; the same command goes on where it stopped.")


def print_results(file: Path) -> None:
    with open(file, newline="") as lines:
        rows = list(csv.DictReader(lines))
    print(f"\n{'name':<28}{'split':<6}{'NME':>8}  {'95 % interval':<18}{'inner':>8}{'AUC':>8}{'failed %':>10}")
    for row in rows:
        nme, low, high, inner, auc, failed = (
            float(row[column]) for column in ("nme", "nme_low", "nme_high", "inner_nme", "auc", "failure_rate")
        )
        print(
            f"{row['name']:<28}{row['split']:<6}{nme:>8.4f}  {low:.4f} to {high:.4f}  {inner:>8.4f}{auc:>8.4f}{failed:>10.1f}"
        )


if __name__ == "__main__":
    sys.exit(main())
