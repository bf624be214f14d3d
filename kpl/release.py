"""`python -m kpl.release --run output/runs/NAME/fold0 --faces output/faces/centerface256 --licence CC0-1.0 --out FOLDER`

Trained networks as a folder that `kpl.predict` uses: half-precision weights, and card.json with how and on what they were
trained, how good they are on subjects that they have not seen, and how large their errors are against the spread that
they claim. Several --run make an ensemble; they must hold out the same fold, or nothing is left to measure them on.
"""

import argparse
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load, save
from torch import Tensor
from tqdm import tqdm

import kpl
from kpl import captures, compare, config
from kpl.errors import BadInput
from kpl.faces import FaceStore, recipes
from kpl.files import atomic, read_json, read_npz, writable, write_json
from kpl.landmarks import COUNT
from kpl.released import CARD, RELEASED, Answer, Ensemble, answer
from kpl.train import trained

LARGEST = 25_000_000  # bytes of all weights
MOVED = 0.02  # of their error, landmarks by halved precision
BATCH = 32
DETECTOR = "centerface"  # what kpl.predict finds faces with
NOT_OURS = ("done.json", "history.csv", "config.json")  # what lies in the folder of a run, or of faces


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m kpl.release", description=__doc__.split("\n\n")[1])
    parser.add_argument("--run", type=config.path, nargs="+", required=True, metavar="FOLDER", help="finished folds")
    parser.add_argument("--faces", type=config.path, required=True, help="the faces that they were trained on")
    parser.add_argument("--truth", default="", help="folder or pickle with the test samples' truth")
    parser.add_argument("--data", default="", help="a word on the data, for the card")
    parser.add_argument("--licence", default="", help="under what terms the weights may be used, for the card")
    parser.add_argument("--out", default=RELEASED, help="folder of the weights; default: the package's own")
    options = parser.parse_args(arguments)
    try:
        card = make(**vars(options))
    except (BadInput, OSError) as error:
        raise SystemExit(f"kpl.release: {error}") from None
    for row in card["scores"]:
        print(f"{row['split']}: {row['name']} NME {row['nme']:.4f} ({row['nme_low']:.4f} to {row['nme_high']:.4f})")
    print(f"{options.out}: {card['bytes'] / 1e6:.1f} MB")


def make(run: list[Path], faces: Path, licence: str, out: str | Path, truth: str = "", data: str = "") -> dict[str, Any]:
    """Write the folder `out` and return its card. truth: of test samples.

    Nothing is written before all is measured, and nothing deleted but what an older release's card names. Raises
    BadInput if `out` is no place for weights, the licence is missing, the runs were trained on other faces, or on such
    as kpl.predict cannot find, share no held-out sample, are larger than LARGEST, or lose by halved precision.
    """
    folder, store, configs = _place(out), kpl.faces.load(faces), [read_json(one / "config.json") for one in run]
    _refuse(licence, store, dict(zip(run, configs)))
    held_out = _held_out_by_all(run, store)
    known = store.table["subject"][store.known]
    card = {
        "networks": [{"name": one.parent.name, "config": made} for one, made in zip(run, configs)],
        "recipe": store.recipe["name"],
        "crop_size": store.recipe["size"],
        "data": data or f"{len(known)} samples of {known.nunique()} subjects",
        "licence": licence,
        "usual": {"error": [1.0] * COUNT, "residual": 1.0, "doubt": 1.0},
    }
    members = Ensemble(card, [trained(one, made) for one, made in zip(run, configs)])
    before = answers(members, store, held_out).landmarks
    files: dict[str, bytes] = {}
    for one, entry, network in zip(run, card["networks"], members.networks):
        content = _halved(network.state_dict())
        # A name that tells the content: an older release stays whole while a new one is written.
        entry["file"] = f"{one.parent.name}_{one.name}_{hashlib.sha256(content).hexdigest()[:8]}.safetensors"
        entry["finished"], files[entry["file"]] = read_json(one / "done.json"), content
        network.load_state_dict(load(content))
    change, error = answers(members, store, held_out).landmarks - before, before - store.points3d[held_out]
    moved = float(np.linalg.norm(change, axis=2).mean() / np.linalg.norm(error, axis=2).mean())
    if not moved <= MOVED:
        raise BadInput(f"half precision moves the landmarks by {moved:.1%} of their error: release other networks.")
    card["parity"] = {"moved": moved}
    unseen = _unseen(store, held_out, captures.truth(config.path(truth)) if truth else {})
    card["usual"] = _usual(members, store, *map(np.concatenate, zip(*unseen.values())))
    card["scores"] = _scores(members, store, unseen)
    card["bytes"] = sum(map(len, files.values()))
    if card["bytes"] > LARGEST:
        raise BadInput(f"the weights take {card['bytes'] / 1e6:.1f} MB: release fewer or smaller networks.")
    _publish(folder, files, card)
    return card


def answers(members: Ensemble, store: FaceStore, rows: np.ndarray) -> Answer:
    """What is said of a store's rows."""
    parts = np.split(rows, range(BATCH, len(rows), BATCH))
    said = [answer(members, np.asarray(store.crops[part])) for part in tqdm(parts, "asked", unit="batch", leave=False)]
    return Answer(*map(np.concatenate, zip(*said)))


def _place(out: str | Path) -> Path:
    """The folder of the weights. Raises BadInput if it holds what no release made, or nothing can be written there."""
    folder = config.path(out)
    if not str(out):
        raise BadInput("--out is empty: name a folder for the weights.")
    foreign = [name for name in NOT_OURS if (folder / name).exists()] + [CARD] * ("networks" not in _older(folder))
    if foreign:
        raise BadInput(f"{folder} holds {foreign[0]}, which no release made: give --out another folder.")
    return writable(folder / CARD, "--out").parent


def _older(folder: Path) -> dict[str, Any]:
    return read_json(folder / CARD) if (folder / CARD).exists() else {"networks": []}


def _refuse(licence: str, store: FaceStore, runs: dict[Path, dict[str, Any]]) -> None:
    if not licence.strip():
        raise BadInput("--licence is missing: say what the pictures and the starting weights allow, such as CC0-1.0.")
    recipe = recipes.get(store.recipe["name"])
    if recipe.detector != DETECTOR:
        raise BadInput(f"kpl.predict cannot cut faces by {recipe.name}: release networks trained on centerface256.")
    for run, made in runs.items():
        if made["store"] != store.fingerprint:
            raise BadInput(f"{run} was trained on other faces than {store.folder}: give those.")


def _held_out_by_all(runs: list[Path], store: FaceStore) -> np.ndarray:
    """Rows with truth that none of the runs was trained on."""
    found = [read_npz(run / "predictions.npz", ("samples", "split")) for run in runs]
    shared = set.intersection(*(set(one["samples"][one["split"] == "oof"].tolist()) for one in found))
    rows = np.flatnonzero(store.table["sample"].isin(shared).to_numpy() & store.known)
    if not len(rows):
        raise BadInput("the runs hold out no sample together: release folds of the same number, such as fold0 of each.")
    return rows


def _halved(weights: dict[str, Tensor]) -> bytes:
    """A file in half precision but for whole numbers, and tensors that would overflow."""
    halves = {name: tensor.half() for name, tensor in weights.items() if tensor.is_floating_point()}
    kept = weights | {name: half for name, half in halves.items() if half.isfinite().all()}
    return save({name: tensor.cpu().contiguous() for name, tensor in kept.items()})


def _unseen(store: FaceStore, held_out: np.ndarray, truth: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Rows that nothing was trained on, and their landmarks (N, 106, 3), by split; test samples are those of `truth`."""
    test = np.flatnonzero(store.table["sample"].isin(truth).to_numpy() & ~store.has_truth)
    points3d = [truth[name] for name in store.table["sample"].iloc[test]]
    return {"held_out": (held_out, store.points3d[held_out])} | ({"test": (test, np.stack(points3d))} if points3d else {})


def _usual(members: Ensemble, store: FaceStore, rows: np.ndarray, gt: np.ndarray) -> dict[str, Any]:
    """What the spread is measured by, each landmark's own, in which each person counts once; and where the cameras stand."""
    usual, found = members.card["usual"], answers(members, store, rows)
    if np.isfinite(found.residual).any():
        yaw, deviation = (of(found.yaw, axis=0).round(1).tolist() for of in (np.nanmean, np.nanstd))
        usual |= {"residual": np.nanmean(found.residual, axis=0).round(5).tolist(), "yaw": yaw, "yaw_deviation": deviation}
        usual |= {"doubt": float(np.sqrt(np.nanmean(found.doubt**2)))}
    share = 1 / store.table.iloc[rows].groupby("subject")["subject"].transform("size").to_numpy()
    errors, spread = np.linalg.norm(found.landmarks - gt, axis=2), answers(members, store, rows).spread
    return usual | {"error": (share @ errors / (share @ spread)).round(5).tolist()}


def _scores(members: Ensemble, store: FaceStore, unseen: dict[str, tuple[np.ndarray, np.ndarray]]) -> list[dict]:
    """Rows as in results.csv for the ensemble and for the mean shape, of each split."""
    mean = store.points3d[np.setdiff1d(np.flatnonzero(store.known), unseen["held_out"][0])].mean(axis=0)
    table = []
    for split, (rows, gt) in unseen.items():
        subjects = store.table["subject"].to_numpy(dtype=str)[rows]
        shapes = {"released": answers(members, store, rows).landmarks, "mean_shape": np.broadcast_to(mean, gt.shape)}
        table += [compare.row(name, split, pred, gt, subjects) | {"samples": len(rows)} for name, pred in shapes.items()]
    return table


def _publish(folder: Path, files: dict[str, bytes], card: dict[str, Any]) -> None:
    """Write the weights, then the card, which makes them the release; then delete what only the older card names."""
    older = _older(folder)
    for name, content in files.items():
        with atomic(folder / name) as temporary:
            temporary.write_bytes(content)
    write_json(folder / CARD, card)
    for name in {Path(entry["file"]).name for entry in older["networks"]} - files.keys():
        (folder / name).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
