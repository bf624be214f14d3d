"""`python -m kpl.release --run output/runs/NAME/fold0 --faces output/faces/centerface256 --truth input/studio/held_out`

Trained networks as a folder that `kpl.predict` uses: half-precision weights, and card.json beside them with how they
were trained, on what, how good they are on subjects that they have not seen, and how large their errors are against the
spread that they claim. Several --run make an ensemble; they must hold out the same fold, or nothing is left to measure
them on.
"""

import argparse
import hashlib
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from kpl import captures, config, correction, ensemble, faces, score
from kpl.cropping import recipes
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import atomic, read_json, read_npz, write_json
from kpl.networks import backbones
from kpl.reporting import results
from kpl.training import build

LARGEST = 25_000_000  # bytes of all weights
LOSS_ALLOWED = 1.001  # NME with halved precision over NME without
LICENCE = "CC0-1.0 (trained on studio pictures alone, whose shapes are CC0), with the code under MIT"
BATCH = 32


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kpl.release", description=__doc__.split("\n\n")[1])
    parser.add_argument("--run", type=config.path, nargs="+", required=True, metavar="FOLDER", help="finished folds")
    parser.add_argument("--faces", type=config.path, required=True, help="the faces that they were trained on")
    parser.add_argument(
        "--correct", type=config.path, metavar="FACES", help="faces of other subjects, to fit a linear correction on"
    )
    parser.add_argument("--truth", type=config.path, help="folder or pickle with the test samples' truth")
    parser.add_argument("--data", default="", help="a word on the data, for the card")
    parser.add_argument("--licence", default=LICENCE, help="for the card; default: %(default)s")
    parser.add_argument("--out", type=config.path, default=ensemble.RELEASED, help="default: the package's own weights")
    options = parser.parse_args(arguments)
    try:
        store = faces.load(options.faces)
        truth = captures.truth(options.truth) if options.truth else {}
        others = faces.load(options.correct) if options.correct else None
        card = make(options.run, store, truth, options.out, options.data, options.licence, others)
    except BadInput as error:
        print(f"kpl.release: {error}", file=sys.stderr)
        return 1
    for row in card["scores"]:
        print(f"{row['split']}: {row['name']} NME {row['nme']:.4f} ({row['nme_low']:.4f} to {row['nme_high']:.4f})")
    print(f"{options.out}: {card['bytes'] / 1e6:.1f} MB, calibration {card['calibration']:.2f}")
    return 0


def make(
    runs: list[Path],
    store: FaceStore,
    truth: dict[str, np.ndarray],
    out: Path,
    data: str = "",
    licence: str = LICENCE,
    others: FaceStore | None = None,
) -> dict[str, Any]:
    """Write the folder `out` and return its card. truth: {sample: (106, 3)} of test samples; others: faces of subjects
    that are neither in `store` nor in the test, on which a linear correction is fitted (kpl.correction).

    Raises BadInput if the runs were trained on other faces, share no held-out sample, are larger than LARGEST, or lose
    by halved precision.
    """
    configs = [read_json(run / "config.json") for run in runs]
    for run, made in zip(runs, configs):
        if made["store"] != store.fingerprint:
            raise BadInput(f"{run} was trained on other faces than {store.folder}: give those.")
    if others is not None and others.fingerprint == store.fingerprint:
        raise BadInput(
            f"{others.folder} holds the faces that the networks know: give faces of other subjects to --correct."
        )
    held_out = _held_out_by_all(runs, store)
    out.mkdir(parents=True, exist_ok=True)
    (out / "card.json").unlink(missing_ok=True)  # what is there until the new one is written, is not whole
    names = [f"{run.parent.name}_{run.name}.safetensors" for run in runs]
    for old in set(out.glob("*.safetensors")) - {out / name for name in names}:
        old.unlink()
    for run, name in zip(runs, names):
        _halve(run / "weights.safetensors", out / name)
    size = sum((out / name).stat().st_size for name in names)
    if size > LARGEST:
        raise BadInput(
            f"the weights take {size / 1e6:.1f} MB: release fewer or smaller networks, {LARGEST / 1e6:.0f} MB at most."
        )
    card = {
        "networks": [_entry(*parts, out) for parts in zip(runs, names, configs)],
        "bytes": size,
        "recipe": _recipe(store),
        "crop_size": store.recipe["size"],
        "data": data or f"{store.known.sum()} samples of {store.table['subject'][store.known].nunique()} subjects",
        "licence": licence,
        "usual_error": [1.0] * 106,
        "calibration": 1.0,
    }
    if others is not None:
        card["correction"] = _correction(ensemble.assemble(out, card), others, out / "correction.safetensors")
        card["bytes"] += (out / "correction.safetensors").stat().st_size
    members = ensemble.assemble(out, card)
    shapes, gt = answers(members, store, held_out)[0], store.points3d[held_out]
    usual = np.linalg.norm(shapes - gt, axis=2).mean(axis=0)
    card["usual_error"] = np.round(usual, 5).tolist()
    shapes, spread = answers(members, store, held_out)
    card["calibration"] = float(np.linalg.norm(shapes - gt, axis=2).mean() / spread.mean())
    card["parity"] = _parity(runs, configs, out, names, store, held_out)
    card["scores"] = _scores(members, store, held_out, shapes, truth)
    write_json(out / "card.json", card)
    return card


def answers(members: ensemble.Ensemble, store: FaceStore, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (R, 106, 3) and spreads (R, 106) of a store's rows."""
    parts = [
        ensemble.answer(members, np.asarray(store.crops[rows[start : start + BATCH]]))[:2]
        for start in range(0, len(rows), BATCH)
    ]
    return tuple(np.concatenate(part) for part in zip(*parts))


def _recipe(store: FaceStore) -> str:
    """The recipe's name, in today's spelling for stores of before ("centerface_128")."""
    name = store.recipe["name"]
    name = "centerface256" if name.startswith("centerface_") else name
    return recipes.get(name).name


def _held_out_by_all(runs: list[Path], store: FaceStore) -> np.ndarray:
    """Rows with truth that none of the runs was trained on."""
    shared = None
    for run in runs:
        if not (run / "done.json").is_file():
            raise BadInput(f"{run} holds no finished fold: train it with 02_train_fold first.")
        file = read_npz(run / "predictions.npz", ("samples", "split"))
        own = set(file["samples"][file["split"] == "oof"].astype(str))
        shared = own if shared is None else shared & own
    rows = np.flatnonzero(store.table["sample"].isin(shared).to_numpy() & store.known)
    if not len(rows):
        raise BadInput("the runs hold out no sample together: release folds of the same number, such as fold0 of each.")
    return rows


def _halve(source: Path, target: Path) -> None:
    """Weights in half precision; whole numbers, and tensors that would overflow, stay as they are."""
    tensors = load_file(source)
    limit = torch.finfo(torch.float16).max
    halved = {
        name: tensor.half() if tensor.is_floating_point() and tensor.abs().max() < limit else tensor
        for name, tensor in tensors.items()
    }
    with atomic(target) as temporary:
        save_file(halved, temporary)


def _entry(run: Path, name: str, made: dict[str, Any], out: Path) -> dict[str, Any]:
    keys = [key for key in made if key not in ("faces", "runs", "store", "workers", "name")]
    words = " ".join(f"-p {key} {shlex.quote(str(made[key]))}" for key in keys if made[key] != "")
    return {
        "name": run.parent.name,
        "file": name,
        "sha256": hashlib.sha256((out / name).read_bytes()).hexdigest(),
        "config": made,
        "training": f"papermill notebooks/02_train_fold.ipynb out.ipynb {words}",
        "finished": read_json(run / "done.json"),
    }


def _correction(members: ensemble.Ensemble, store: FaceStore, file: Path) -> dict[str, Any]:
    rows = np.flatnonzero(store.known)
    subjects = store.table["subject"].to_numpy(dtype=str)[rows]
    correction.save(correction.fit(answers(members, store, rows)[0], store.points3d[rows], subjects), file)
    return {"file": file.name, "samples": len(rows), "subjects": len(set(subjects)), "faces": store.fingerprint}


@torch.inference_mode()
def _parity(
    runs: list[Path], configs: list[dict], out: Path, names: list[str], store: FaceStore, rows: np.ndarray
) -> dict[str, float]:
    """What half precision changes on held-out samples: the largest shift of a landmark, and the ratio of the NMEs."""
    shift, ratios = 0.0, []
    rows = rows[: 4 * BATCH]
    for run, made, name in zip(runs, configs, names):
        full = build.trained(run, made).eval()
        views = torch.from_numpy(ensemble.resized(np.asarray(store.crops[rows]), made["image_size"]))
        views = views.to(full.shape_mean.device)
        before = full(views).points3d.double().cpu().numpy()
        backbones.load_weights(full, str(out / name))
        after = full(views).points3d.double().cpu().numpy()
        shift = max(shift, float(np.abs(after - before).max()))
        ratios.append(score.nme(after, store.points3d[rows]).mean() / score.nme(before, store.points3d[rows]).mean())
    if max(ratios) > LOSS_ALLOWED:
        raise BadInput(f"half precision makes a network worse ({max(ratios):.4f} of its error): release another one.")
    return {"largest_shift": shift, "nme_ratio": float(max(ratios)), "samples": len(rows)}


def _scores(
    members: ensemble.Ensemble, store: FaceStore, held_out: np.ndarray, shapes: np.ndarray, truth: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Rows of kpl.reporting.results for the ensemble and for the mean shape, on the held-out and on the test
    samples."""
    names, subjects = (store.table[column].to_numpy(dtype=str) for column in ("sample", "subject"))
    mean = store.points3d[np.setdiff1d(np.flatnonzero(store.known), held_out)].mean(axis=0)
    sets = {"held_out": (held_out, shapes, store.points3d[held_out])}
    test = np.array([row for row in np.flatnonzero(~store.known) if names[row] in truth], dtype=int)
    if len(test):
        sets["test"] = test, answers(members, store, test)[0], np.stack([truth[name] for name in names[test]])
    return [
        results.row(name, split, pred, gt, subjects[rows]) | {"samples": len(rows)}
        for split, (rows, found, gt) in sets.items()
        for name, pred in (("released", found), ("mean_shape", np.broadcast_to(mean, found.shape)))
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
