"""Made-up stores and run folders for the tests of this room."""

from pathlib import Path

import numpy as np
import pandas as pd

from kpl.faces import FaceStore
from kpl.files import write_json, write_npz
from kpl.landmarks import MEAN_SHAPE
from kpl.stack import OofStore
from kpl.train import provenance


def make_store(subjects: int = 24, bias: bool = True, seed: int = 0) -> OofStore:
    """Low-rank shapes of 5 samples a subject, the last 4 subjects for the test; two networks that see part of each
    subject, and a shared error that their answers give away.

    With `bias` the networks say 0.6 of what departs from the mean shape, and y is 0.01 too high: both can be learnt.
    """
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(subjects), 5)
    basis = rng.normal(0, 0.012, (6, 106, 3))
    shapes = np.tensordot(
        rng.normal(size=(subjects, 6))[subject] + 0.4 * rng.normal(size=(len(subject), 6)), basis, axes=1
    )
    shared = rng.normal(0, 0.003, shapes.shape)
    factor, shift = (0.6, np.array([0, 0.01, 0])) if bias else (1.0, np.zeros(3))
    points = MEAN_SHAPE + factor * shapes + shift + shared + rng.normal(0, 0.004, (2, *shapes.shape))
    names = np.array([f"{s:05d}" for s in subject])
    samples = np.array([f"{name}/0{1 + i % 5}" for i, name in enumerate(names)])
    train = subject < subjects - 4
    return OofStore(
        fingerprint="",
        recipes=np.array(["centerface256", "centerface256"]),
        samples=samples[train],
        subjects=names[train],
        folds=subject[train] % 4,
        truth=(MEAN_SHAPE + shapes)[train],
        test_samples=samples[~train],
        test_subjects=names[~train],
        networks=np.array(["large", "small"]),
        points=points[:, train].astype(np.float32),
        test_points=np.stack([points[:, ~train]] * 2, axis=1).astype(np.float32),  # two folds that agree
    )


def make_faces(folder: Path, known: int, unknown: int = 2, recipe: str = "centerface256") -> FaceStore:
    """So many subjects with truth, and without, 2 expressions each."""
    subjects = np.repeat([f"{i:05d}" for i in range(known + unknown)], 2)
    samples = [f"{subject}/0{1 + i % 2}" for i, subject in enumerate(subjects)]
    points3d = MEAN_SHAPE + np.random.default_rng(0).normal(0, 0.02, (len(samples), 106, 3))
    points3d[2 * known :] = np.nan
    table = pd.DataFrame({"sample": samples, "subject": subjects, "expression": "01", "outcome": "ok"})
    seen2d, crops = np.full((len(samples), 3, 106, 2), np.nan), np.zeros((len(samples), 3, 2, 2, 3), np.uint8)
    return FaceStore(table, crops, points3d, seen2d, {"name": recipe}, folder, f"f00d {recipe}")


def write_runs(runs: Path, faces: FaceStore, networks: dict[str, float], folds: int = 3) -> None:
    """The finished folds of networks {name: error}, which err by so much in x, y and z; of samples without truth they
    say the mean shape moved by their error and by the fold's number. Rows come in an order of the fold's own."""
    runs.mkdir(parents=True, exist_ok=True)
    subjects = np.unique(faces.table["subject"][faces.has_truth])
    pd.DataFrame({"subject": subjects, "fold": np.arange(len(subjects)) % folds}).to_csv(
        runs / "folds.csv", index=False
    )
    known, subject = faces.has_truth, faces.table["subject"].astype(int).to_numpy()
    for seed, (name, error) in enumerate(networks.items()):
        for fold in range(folds):
            folder = runs / name / f"fold{fold}"
            rows = np.random.default_rng(10 * seed + fold).permutation(
                np.flatnonzero((subject % folds == fold) | ~known)
            )
            points = np.where(known[:, None, None], faces.points3d + error, MEAN_SHAPE + error + fold)
            write_npz(
                folder / "predictions.npz",
                samples=faces.table["sample"].to_numpy(dtype=str)[rows],
                split=np.where(known, "oof", "test")[rows],
                points=points[rows].astype(np.float32),
            )
            settings = {"fold": fold, "seed": seed, "lr": 0.1, "view_dropout": 0.0, "precision": "auto", "code": "c0de"}
            became = {"became": {"precision": "fp32", "weights": "none", "file": "", "sha256": ""}}
            write_json(folder / "config.json", settings | provenance.of(faces, runs / "folds.csv") | became)
            (folder / "weights.safetensors").write_bytes(f"{name} {fold}".encode())
            write_json(folder / "done.json", {})
