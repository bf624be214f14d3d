"""What 01 to 04 leave, made up in no time: faces without a picture taken, answers without a network trained."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from captures.made import ODD_NAMES, write_pickle

import kpl
from kpl.faces.store import COLUMNS
from kpl.landmarks import MEAN_SHAPE

CAMERAS = {"left": -40.0, "middle": 0.0, "right": 40.0}  # degrees
ODD = list(dict.fromkeys(part for name in ODD_NAMES.values() for part in name.split("/") if part != "01"))


@dataclass
class Made:
    """Folders, as 05's parameters are called, and the true shapes (N, 106, 3) by sample."""

    parameters: dict[str, Path | str]
    truth: dict[str, np.ndarray]

    def run(self, **others) -> dict:
        from cells import run

        return run("05_submit", **self.parameters | others)


def seen_from(shape: np.ndarray, degrees: float) -> np.ndarray:
    """A shape (106, 3) as a camera far off sees it, in crop units (106, 2)."""
    x, y, z = (shape - MEAN_SHAPE.mean(axis=0)).T
    angle = np.radians(degrees)
    return np.column_stack([0.5 + 0.35 * (x * np.cos(angle) - z * np.sin(angle)), 0.5 - 0.35 * y])


def shapes_of(samples: list[str], seed: int) -> np.ndarray:
    return MEAN_SHAPE + np.random.default_rng(seed).normal(0, 0.03, (len(samples), 106, 3))


def faces(folder: Path, samples: list[str], truth: np.ndarray, recipe: str = "centerface256") -> Path:
    """A finished store of these samples, of 32 pixels. truth: (N, 106, 3), NaN where it is not known."""
    folder.mkdir(parents=True)
    table = pd.DataFrame({"sample": samples})
    table[["subject", "expression"]] = [sample.rsplit("/", 1) for sample in samples]
    table = table.assign(split="", outcome="ok")
    for view in range(3):
        for name in COLUMNS:
            table[f"{name}{view}"] = {"status": "ok", "picture": "t.jpg"}.get(name, "")
    table.to_csv(folder / "faces.csv", index=False)
    np.save(folder / "crops.npy", np.random.default_rng(1).integers(0, 255, (len(samples), 3, 32, 32, 3), np.uint8))
    points2d = np.stack([[seen_from(shape, degrees) for degrees in CAMERAS.values()] for shape in truth])
    transforms = np.broadcast_to([[0.01, 0, 0], [0, 0.01, 0]], (len(samples), 3, 2, 3))
    arrays = {"samples": np.array(samples), "points3d": truth, "points2d": points2d.astype(np.float32)}
    kpl.files.write_npz(folder / "targets.npz", **arrays, transforms=transforms)
    done = {"recipe": {"name": recipe, "size": 32}, "fingerprint": str(folder), "orientation": "made up"}
    kpl.files.write_json(folder / "done.json", done | {"counts": {"samples": len(samples)}})
    return folder


def world(folder: Path, tested: int = 2, subjects: list[str] | None = None, recipes: tuple[str, ...] = ()) -> Made:
    """Subjects with four expressions each; the truth of the last `tested` of them is known to 05 only."""
    subjects = subjects or [f"{i:05d}" for i in range(8)]
    samples = [f"{subject}/{expression:02d}" for subject in subjects for expression in range(4)]
    truth = shapes_of(samples, 0)
    known = np.arange(len(samples)) < 4 * (len(subjects) - tested)
    store = kpl.faces.load(faces(folder / "faces" / "a", samples, np.where(known[:, None, None], truth, np.nan)))
    rng, names, of = np.random.default_rng(2), np.array(samples), np.repeat(subjects, 4)
    recipes = recipes or ("centerface256", "centerface256")
    answers = truth + rng.normal(0, 0.02, (2, *truth.shape))
    kpl.stack.OofStore(
        fingerprint=store.fingerprint,
        recipes=np.array(recipes),
        samples=names[known],
        subjects=of[known],
        folds=np.arange(known.sum()) // 4 % 2,
        truth=truth[known],
        test_samples=names[~known][::-1],
        test_subjects=of[~known][::-1],
        networks=np.array(["baseline", "other"]),
        points=answers[:, known],
        test_points=np.repeat(answers[:, None, ~known][:, :, ::-1], 2, axis=1),
    ).save(folder / "oof" / "oof.npz")
    layers = np.stack([answers.mean(axis=0), truth + rng.normal(0, 0.01, truth.shape)])
    tests = layers[:, ~known][:, ::-1]
    kpl.stack.StackStore(np.array(["mean", "ridge"]), names[known], layers[:, known], names[~known][::-1], tests).save(
        folder / "stack" / "stack.npz"
    )
    kpl.files.write_json(folder / "stack" / "choice.json", {"name": "ridge", "reason": "ridge <b>won</b> & so on."})
    columns = ["nme", "ratio", "ratio_low", "ratio_high", "seconds"]
    compared = pd.DataFrame(1.0, range(2), columns).assign(name=["mean", "ridge"])
    kpl.files.write_csv(folder / "stack" / "comparison.csv", compared)
    held_out = folder / "held_out"
    held_out.mkdir()
    write_pickle(held_out / "truth.pkl", dict(zip(names[~known].tolist(), truth[~known])))
    seen = np.array([[100 * seen_from(shape, at) for at in CAMERAS.values()] for shape in truth[~known]])
    kpl.files.write_npz(held_out / "points2d.npz", samples=names[~known], points=seen.reshape(-1, 3, 106, 2))
    ages = pd.DataFrame({"subject": subjects, "age": 20.0 + 7 * np.arange(len(subjects))})
    kpl.files.write_csv(folder / "subjects.csv", ages)
    parameters = {name: folder / name for name in ("runs", "oof", "stack")}
    parameters |= {"faces": store.folder, "truth": held_out}
    parameters |= {"submission": folder / "submission.txt", "results": folder / "results.csv"}
    return Made(parameters, dict(zip(samples, truth)))
