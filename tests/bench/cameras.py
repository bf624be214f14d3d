"""Cameras that stand elsewhere: what finds the shape when the rig is not the one that the networks were trained for.

The studio takes the same new people with other rigs. The networks' 2D landmarks are lifted to 3D by a ridge that knows the
rig of the networks' captures; by a ridge that was fitted for just the rig at hand, to training
shapes as that rig's very cameras see them, with as much noise as serves it best, which nobody has; and by the fit of shape
and cameras, which knows no rig (kpl.cameras). MediaPipe's ridge knows the rig of the captures, too (bench peers).

With --weights, whose spread is calibrated, pictures that are worse than the training's are asked, too, at the second rig, and a
second chart holds the spread against the real error.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import Ridge

from bench import peers, report
from kpl import cameras, compare, faces, release, released, score
from kpl.config import ROOT, path
from kpl.draw import reliability
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import read_json, read_npz, write_csv
from kpl.landmarks import COUNT
from kpl.train import trained

RIGS = ["20", "28", "40", "50", "60", "25,45", "40,40,15"]  # of python -m kpl.studio
NOISE = (0.03, 0.05, 0.08)  # RMS radii of a view's landmarks: of the ridges, the best for each is taken
COPIES, PENALTY, NEAR = 8, 10.0, 3.0  # noisy copies of each shape; the ridges'; degrees
HOME, KNOWN = "ridge, the networks' rig", "ridge, just this rig"
# What is done to the crops (N, 3, S, S, 3) of a rig: {word: function}.
WORSE = {
    "black and white": lambda crops: np.repeat(crops.mean(axis=4, keepdims=True), 3, axis=4),
    "a quarter as bright": lambda crops: crops * 0.25,
    "blurred": lambda crops: np.stack(
        [[cv2.GaussianBlur(view, (0, 0), len(view) / 32) for view in one] for one in crops]
    ),
    "noisy": lambda crops: crops + np.random.default_rng(0).normal(0, 40, crops.shape),
    "without the left one": lambda crops: crops * np.array([0, 1, 1])[:, None, None, None],
    "the middle one alone": lambda crops: crops * np.array([0, 1, 0])[:, None, None, None],
}
FIT, PEER = "shape and cameras fitted", "MediaPipe + ridge, the networks' rig"


def main(arguments: list[str]) -> None:
    parser = report.parser("cameras", __doc__)
    parser.add_argument("--faces", type=path, default=path("output/faces/centerface256"), help="the networks' faces")
    parser.add_argument("--captures", type=path, default=path("input/studio"), help="theirs, for MediaPipe's ridge")
    parser.add_argument("--run", type=path, help="a network's folder of folds; default: the default run's")
    parser.add_argument("--rigs", nargs="+", default=RIGS, help="as python -m kpl.studio takes them")
    parser.add_argument("--subjects", type=int, default=12, help="new people, with seven expressions each")
    parser.add_argument("--weights", help="a folder of kpl.release, or released, instead of a run")
    parser.add_argument("--no-peer", action="store_true", help="leave MediaPipe out")
    options = parser.parse_args(arguments)
    store = faces.load(options.faces)
    networks = released.load(options.weights) if options.weights else of_run(options.run)
    peer = None if options.no_peer else Peer(store, options.captures, options.out.parent)
    rows, spreads = [], {}
    for rig in options.rigs:
        taken = take(options.out.parent / "cameras" / rig, rig, options.subjects)
        found = measured(rig, taken, store, networks, peer)
        rows += found
        if options.weights:
            spreads[rig] = spread_and_error(networks, taken, lambda crops: crops)
        if options.weights and rig in options.rigs[1:2]:
            spreads |= {f"{rig}, {word}": spread_and_error(networks, taken, change) for word, change in WORSE.items()}
        print(pd.DataFrame(found)[["rig", "name", "nme", "to_known", "yaw_within_3"]].round(4), flush=True)
    table = pd.DataFrame(rows)
    draw(table, options.out.with_suffix(".png"))
    if spreads:
        calibration(spreads, options.out.with_name(f"{options.out.stem}_spread.png"))
    report.publish(table.round(5), options.out)


def of_run(run: Path | None) -> released.Ensemble:
    """The folds of a network that looks for 2D landmarks. Raises BadInput if there is none."""
    run = run or next(iter(sorted(path("output/runs").glob("*_late_*"))), path("output/runs"))
    folds = sorted(file.parent for file in run.glob("fold*/done.json"))
    if not folds:
        raise BadInput(f"{run} holds no finished fold: do the default run first (./run_all.sh), or name another --run.")
    configs = [read_json(fold / "config.json") for fold in folds]
    usual = {"error": [1.0] * COUNT, "residual": 1.0, "doubt": 1.0}
    card = {"networks": [{"config": config} for config in configs], "usual": usual}
    return released.Ensemble(card, [trained(*pair) for pair in zip(folds, configs)])


def take(folder: Path, rig: str, subjects: int) -> FaceStore:
    """The faces of new people before a rig, drawn and cut; what is there is kept."""
    studio = [sys.executable, "-m", "kpl.studio", "--out", folder, "--rig", rig, "--seed", "77", "--test-subjects", "0"]
    if subprocess.run([*studio, "--train-subjects", str(subjects)], check=False, cwd=ROOT).returncode:
        raise BadInput(f"the studio failed with --rig {rig}: its message is above.")
    return faces.build(folder, folder / "faces")


def measured(
    rig: str, taken: FaceStore, store: FaceStore, networks: released.Ensemble, peer: "Peer | None"
) -> list[dict]:
    """A row for each contender."""
    folder, truth, home = taken.folder.parent, taken.points3d, store.points3d[store.known]
    subjects = taken.table["subject"].to_numpy(str)
    found = release.answers(networks, taken, np.arange(len(truth)))
    points = flat(found.points2d)
    own = read_npz(folder / "cameras.npz", ("samples", "extrinsics"))
    own = own["extrinsics"][pd.Index(own["samples"]).get_indexer(taken.table["sample"])]  # (N, 3, 3, 4)
    answers = {HOME: best_ridge(lambda rng: store.points2d[store.known], home, points, truth)}
    answers[KNOWN] = best_ridge(
        lambda rng: seen_by(home, own[rng.integers(len(own), size=len(home))]), home, points, truth
    )
    answers[FIT] = found.landmarks
    if peer:
        answers[PEER] = peer.shapes(taken, folder)
    errors = {name: score.nme(shapes, truth) for name, shapes in answers.items()}
    eyes = -np.einsum("nvji,nvj->nvi", own[..., :3], own[..., 3]) - truth.mean(axis=1)[:, None]  # from face to camera
    off = np.abs(found.yaw + np.degrees(np.arctan2(eyes[..., 0], eyes[..., 2])))
    rows = []
    for name, shapes in answers.items():
        gain = compare.paired(errors[name], errors[KNOWN], subjects)
        row = {"rig": rig, **compare.row(name, "", shapes, truth, subjects), "to_known": gain.ratio}
        row |= {"to_known_low": gain.ratio_low, "to_known_high": gain.ratio_high}
        rows.append(
            row | ({"yaw_within_3": (off < NEAR).mean(), "residual": np.nanmean(found.residual)} if name == FIT else {})
        )
    return rows


def spread_and_error(networks: released.Ensemble, taken: FaceStore, change: Callable) -> tuple[np.ndarray, np.ndarray]:
    """Each landmark's spread and its error, of changed crops: (K,) each."""
    changed = replace(taken, crops=np.clip(change(np.asarray(taken.crops)), 0, 255).astype(np.uint8))
    found = release.answers(networks, changed, np.arange(len(changed.crops)))
    return found.spread.ravel(), np.linalg.norm(found.landmarks - taken.points3d, axis=2).ravel()


def calibration(spreads: dict[str, tuple[np.ndarray, np.ndarray]], file: Path) -> None:
    """Prints mean spread and error of each kind, and draws the tenths of the landmarks."""
    table = pd.DataFrame(
        {name: {"spread": one.mean(), "error": error.mean()} for name, (one, error) in spreads.items()}
    ).T
    print(table.assign(ratio=table["spread"] / table["error"]).round(4).to_string())
    write_csv(file.with_suffix(".csv"), table.reset_index(names="pictures"))
    figure = reliability(spreads)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def flat(points2d: np.ndarray) -> np.ndarray:
    """2D landmarks (N, 3, 106, 2), normalised, as features (N, 636)."""
    return cameras.normalised(torch.from_numpy(np.array(points2d, float))).numpy().reshape(len(points2d), -1)


def seen_by(shapes: np.ndarray, extrinsics: np.ndarray) -> np.ndarray:
    """Where cameras (N, 3, 3, 4), whose pictures lie on their side, see shapes (N, 106, 3): (N, 3, 106, 2), upright."""
    down, left, away = np.moveaxis(
        shapes[:, None] @ np.swapaxes(extrinsics[..., :3], 2, 3) + extrinsics[:, :, None, :, 3], -1, 0
    )
    return np.stack([-left, down], axis=-1) / away[..., None]


def best_ridge(draw: Callable, shapes: np.ndarray, points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """What a ridge from drawn 2D landmarks, with noise, to shapes says of points (M, 636); the noise is the best of NOISE on
    these very samples: it is to be a rival."""
    rng, found = np.random.default_rng(0), []
    for noise in NOISE:
        seen = np.concatenate([flat(draw(rng)) for _ in range(COPIES)])
        target = np.tile(shapes.reshape(len(shapes), -1), (COPIES, 1))
        ridge = Ridge(PENALTY).fit(seen + rng.normal(0, noise, seen.shape), target)
        found.append(ridge.predict(points).reshape(-1, COUNT, 3))
    return min(found, key=lambda answer: score.nme(answer, truth).mean())


class Peer:
    """MediaPipe's landmarker with a ridge that is fitted on the networks' own faces."""

    def __init__(self, store: FaceStore, folder: Path, kept: Path) -> None:
        self.look, known = peers.landmarker(peers.model(kept)), store.known
        features = peers.features(*peers.looked_at(store, folder, self.look), 2)[known]
        self.ridge = peers.fitted(features, store.points3d[known], store.table["subject"].to_numpy(str)[known])

    def shapes(self, taken: FaceStore, folder: Path) -> np.ndarray:
        return peers.shapes(self.ridge, peers.features(*peers.looked_at(taken, folder, self.look), 2))


def draw(table: pd.DataFrame, file: Path) -> None:
    """NME against the rig, a line for each contender."""
    wide = table.pivot(index="rig", columns="name", values="nme").loc[table["rig"].unique(), table["name"].unique()]
    axis = wide.plot(marker="o", figsize=(8, 4.5), xlabel="side cameras at (degrees; left,right,pitch)", ylabel="NME")
    axis.set_ylim(0, min(0.12, 1.1 * wide.max().max()))
    axis.set_xticks(range(len(wide)), wide.index)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    axis.figure.savefig(file, dpi=110, bbox_inches="tight")
    plt.close(axis.figure)
