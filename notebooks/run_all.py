"""The five notebooks in order, each network and fold as a run of 02_train_fold; called by run_all.sh.

Finished stages are not repeated: beside each executed notebook lies a marker with the checksum of the notebook, its
parameters and the stages before it. Uses the standard library only, so that --help needs no environment.
"""

import argparse
import csv
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

ROOT = Path(__file__).resolve().parents[1]
STUDIO = ROOT / "input" / "studio"
TAIL = 4000  # characters of a stage's error stream that are kept

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
        "shared": {"epochs": 1, "batch_size": 8},
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


@dataclass(frozen=True)
class Stage:
    """One notebook with its parameters; `label` names its executed copy."""

    label: str
    notebook: str
    parameters: dict
    inputs: str  # checksum of what it reads


class StageFailed(Exception):
    """One sentence that says which stage failed, why, and where its executed notebook is."""


def main() -> int:
    options = parse(sys.argv[1:])
    started = time.time()
    try:
        run_all(options)
    except StageFailed as failure:
        print(f"\nrun_all: {failure}", file=sys.stderr)
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
        epilog="Also: ./run_all.sh test [pytest options]   the tests\n      ./run_all.sh lab                     JupyterLab",
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
    parser.add_argument("--jobs", type=int, help="folds trained at once; default: one a GPU, or one a core")
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
    return options


def run_all(options: argparse.Namespace) -> None:
    """Every stage in order. Raises StageFailed."""
    output, profile = options.output, PROFILES[options.profile]
    gpus = gpu_count()
    cores = os.cpu_count() or 1
    jobs = options.jobs or gpus or cores
    faces, runs, oof, stack = (str(output / name) for name in ("faces/centerface256", "runs", "oof", "stack"))

    data = options.data.resolve() if options.data else STUDIO
    if options.data is None:
        make_studio()

    preprocess = Stage(
        "01_preprocess", "01_preprocess", {"captures": str(data), "faces": faces, "jobs": cores}, listing(data)
    )
    key = run_stages([preprocess], output, 1, 0)

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
            key,
        )
        for network in networks
        for fold in range(options.folds)
    ]
    key = run_stages(folds, output, min(jobs, len(folds)), gpus)

    key = run_stages([Stage("03_oof", "03_oof", {"faces": faces, "runs": runs, "oof": oof}, key)], output, 1, 0)
    key = run_stages([Stage("04_stack", "04_stack", {"oof": oof, "stack": stack}, key)], output, 1, 0)
    submit = {
        "faces": faces,
        "runs": runs,
        "oof": oof,
        "stack": stack,
        "truth": str(data / "held_out"),
        "submission": str(output / "submission.txt"),
        "results": str(output / "results.csv"),
    }
    run_stages([Stage("05_submit", "05_submit", submit, key)], output, 1, 0)
    write_report(output)
    print_results(output / "results.csv")


def make_studio() -> None:
    """Let the studio make its captures; it returns at once when they are there."""
    command = [sys.executable, "-m", "kpl.studio", "--out", str(STUDIO)]
    print("== studio: captures in input/studio", flush=True)
    if subprocess.run(command, cwd=ROOT).returncode:
        raise StageFailed("the studio failed: its message is above; the same command goes on where it stopped.")


def run_stages(stages: list[Stage], output: Path, jobs: int, gpus: int) -> str:
    """Run what is not finished, `jobs` at once, and return a checksum that stands for all of them."""
    keys = {stage.label: checksum(stage) for stage in stages}
    waiting = [stage for stage in stages if not is_finished(stage, keys[stage.label], output)]
    for stage in stages:
        if stage not in waiting:
            print(f"== {stage.label}: finished before", flush=True)
    slots = list(range(jobs))
    running: set[subprocess.Popen] = set()
    lock = threading.Lock()

    def run(stage: Stage) -> None:
        with lock:
            slot = slots.pop(0)
        try:
            run_stage(stage, keys[stage.label], output, environment(slot, jobs, gpus), jobs > 1, running)
        finally:
            with lock:
                slots.append(slot)

    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(run, stage) for stage in waiting}
        try:
            while futures:
                done, futures = wait(futures, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            for process in list(running):
                process.terminate()  # what they have done so far is kept
            raise
    return hashlib.sha256("".join(keys.values()).encode()).hexdigest()


def run_stage(stage: Stage, key: str, output: Path, environ: dict, beside_others: bool, running: set) -> None:
    """Execute one notebook with papermill and show what its cells print."""
    executed = executed_notebook(stage, output)
    executed.parent.mkdir(parents=True, exist_ok=True)
    print(f"== {stage.label}", flush=True)
    started = time.time()
    executed.unlink(missing_ok=True)  # an earlier one would speak for this one if it dies early
    source = ROOT / "notebooks" / f"{stage.notebook}.ipynb"
    command = [sys.executable, "-m", "papermill", str(source), str(executed), "-y", json.dumps(stage.parameters)]
    command += ["--cwd", str(ROOT), "--no-progress-bar", "--log-level", "ERROR"]
    command += ["--stdout-file", "/dev/stdout", "--stderr-file", "/dev/stdout"]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running.add(process)
    tail: list[str] = []
    errors = threading.Thread(target=lambda: tail.append(process.stderr.read().decode(errors="replace")[-TAIL:]))
    errors.start()
    show(process.stdout, whole_lines=beside_others or not sys.stdout.isatty())
    errors.join()
    code = process.wait()
    running.discard(process)
    if code:
        raise StageFailed(
            f"{stage.label} failed: {reason(executed, code, ''.join(tail))} "
            f"(executed notebook: {executed}; the same command goes on from here)"
        )
    marker(stage, output).write_text(key)
    print(f"== {stage.label}: {time.time() - started:.0f} s", flush=True)


def show(stream: BinaryIO, whole_lines: bool) -> None:
    """Pass a stage's output on. Whole lines only leaves progress bars out: they would overwrite each other, or fill a log."""
    if whole_lines:
        for line in stream:
            line = line.rsplit(b"\r", 1)[-1].rstrip()
            if line:
                print(line.decode(errors="replace"), flush=True)
    else:
        while chunk := stream.read1():
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()


def reason(executed: Path, code: int, tail: str) -> str:
    """Why a notebook failed, in one sentence: its last error, or what papermill itself said."""
    try:
        cells = json.loads(executed.read_text())["cells"]
    except (OSError, ValueError):
        cells = []
    errors = [output for cell in cells for output in cell.get("outputs", []) if output["output_type"] == "error"]
    if errors:
        kind = "" if errors[-1]["ename"] == "BadInput" else f"{errors[-1]['ename']}: "
        return kind + errors[-1]["evalue"].strip()
    return tail.strip().splitlines()[-1] if tail.strip() else f"it was killed (exit code {code})"


def environment(slot: int, jobs: int, gpus: int) -> dict:
    """Share cores and GPUs out, so that jobs side by side do not fight for them."""
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    environ = os.environ | {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    return environ | ({"CUDA_VISIBLE_DEVICES": str(slot % gpus)} if gpus else {})


def gpu_count() -> int:
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
    except FileNotFoundError:
        return 0
    return sum(line.startswith("GPU ") for line in listed.splitlines())


def checksum(stage: Stage) -> str:
    digest = hashlib.sha256((ROOT / "notebooks" / f"{stage.notebook}.ipynb").read_bytes())
    digest.update(json.dumps([stage.parameters, stage.inputs], sort_keys=True).encode())
    return digest.hexdigest()


def listing(folder: Path) -> str:
    """A checksum of the names, sizes and times of a folder's files."""
    digest = hashlib.sha256()
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            status = os.stat(os.path.join(parent, name))
            digest.update(f"{parent}/{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def executed_notebook(stage: Stage, output: Path) -> Path:
    return output / "notebooks" / f"{stage.label}.ipynb"


def marker(stage: Stage, output: Path) -> Path:
    return executed_notebook(stage, output).with_suffix(".done")


def is_finished(stage: Stage, key: str, output: Path) -> bool:
    return marker(stage, output).exists() and marker(stage, output).read_text() == key


def write_report(output: Path) -> None:
    """The executed 05_submit as one HTML page, to look at or to hand on."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "nbconvert",
            "--to",
            "html",
            "--log-level",
            "ERROR",
            "--output-dir",
            str(output),
            "--output",
            "report.html",
            str(output / "notebooks" / "05_submit.ipynb"),
        ],
        check=True,
    )


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
