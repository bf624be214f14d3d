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

from kpl.conduct import cluster, disk, local, snapshot
from kpl.conduct.stages import Engine, Stage, StageFailed, listing, run_stages
from kpl.config import ROOT

STUDIO = ROOT / "input" / "studio"

# What a profile trains: its networks' backbones and sizes, the baseline's size, and what all networks share.
PROFILES = {
    "quick": {
        "backbones": ["hgnetv2_b0"],
        "sizes": [64],
        "baseline_size": 64,
        "folds": 3,
        "shared": {"epochs": 10, "batch_size": 8, "lr": 3e-3},
    },
    "method": {
        "backbones": ["effb3", "effb4", "effb5", "effb6", "seresnet152d", "resnest200e", "resnet200d"],
        "sizes": [384],
        "baseline_size": 256,
        "folds": 5,
        "shared": {"epochs": 192, "batch_size": 16, "lr": 3e-4, "share": "none", "workers": 8},
    },
    "tiny": {
        "backbones": ["mobilenetv3"],
        "sizes": [32],
        "baseline_size": 32,
        "folds": 2,
        "shared": {"epochs": 2, "batch_size": 8},
    },
}
# The official baseline re-created: one ResNet-18 for all views, the last level, one linear layer, answers averaged.
BASELINE = {
    "name": "baseline",
    "backbone": "resnet18",
    "fusion": "average",
    "head": "linear",
    "share": "all",
    "points2d": 0.0,
}


def main() -> int:
    options = parse(sys.argv[1:])
    started = time.time()
    try:
        run_all(options)
    except StageFailed as failure:
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
        choices=PROFILES,
        default="quick",
        help="quick: small networks on two cores; method: the seven published ones; tiny: a smoke test",
    )
    parser.add_argument("--backbones", nargs="+", metavar="NAME", help="short names or timm names; default by profile")
    parser.add_argument("--sizes", nargs="+", type=int, metavar="PX", help="image sizes; default by profile")
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
    profile = PROFILES[options.profile]
    options.backbones = options.backbones or profile["backbones"]
    options.sizes = options.sizes or profile["sizes"]
    options.folds = options.folds or profile["folds"]
    options.output = options.output.resolve()
    if options.data is not None and not options.data.is_dir():
        parser.error(f"{options.data} is not a folder: give the folder of the captures to --data")
    if min(options.sizes) < 32 or options.folds < 2:
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
    output, profile = options.output, PROFILES[options.profile]
    unwritable = disk.why_unwritable(output)
    if unwritable:
        raise StageFailed(unwritable)
    here = partial(local.run, jobs=1, timeout=60 * options.timeout)
    faces, runs, oof, stack = (str(output / name) for name in ("faces/centerface256", "runs", "oof", "stack"))

    data = options.data.resolve() if options.data else STUDIO
    if options.data is None:
        make_studio()

    captures = listing(data)
    preprocess = {"captures": str(data), "faces": faces, "jobs": local.cores()}
    run_stages([Stage("01_preprocess", "01_preprocess", preprocess, captures)], output, here)
    faces_seen = snapshot.fingerprint(Path(faces))
    snapshot.refuse_other_faces(Path(runs), faces_seen)

    shared = {"faces": faces, "runs": runs, "folds": options.folds} | profile["shared"]
    if options.epochs:
        shared["epochs"] = options.epochs
    networks = [{"backbone": backbone, "image_size": size} for backbone in options.backbones for size in options.sizes]
    networks.append(BASELINE | {"image_size": profile["baseline_size"]})
    folds = [
        Stage(
            f"02_{network.get('name') or network['backbone']}_{network['image_size']}_fold{fold}".replace("/", "-"),
            "02_train_fold",
            shared | network | {"fold": fold},
            faces_seen,
        )
        for network in networks
        for fold in range(options.folds)
    ]
    key = run_stages(folds, output, fold_engine(options))
    snapshot.refuse_other_faces(Path(runs), snapshot.fingerprint(Path(faces)))

    key = run_stages([Stage("03_oof", "03_oof", {"faces": faces, "runs": runs, "oof": oof}, key)], output, here)
    key = run_stages([Stage("04_stack", "04_stack", {"oof": oof, "stack": stack}, key)], output, here)
    submit = {
        "faces": faces,
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
