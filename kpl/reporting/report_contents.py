"""What the report says: the sections of kpl.reporting.report, made from what the notebooks left."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from kpl import charts, score
from kpl.crop import moved
from kpl.faces import FaceStore
from kpl.files import read_json
from kpl.oof import OofStore
from kpl.reporting import breakdown, report
from kpl.reporting.overlay import draw, fit_camera, project

PACKAGES = ("torch", "timm", "numpy", "scipy", "pandas", "scikit-learn", "lightgbm", "opencv-python", "papermill")
SHOWN = 4  # worst and best samples
TURNED = 8  # faces to turn by hand, besides these
_COLOURS = {"truth": (59, 111, 212), "prediction": (230, 119, 0)}  # RGB


@dataclass(frozen=True)
class Scored:
    """The samples that the report is about: the test subjects' where their truth is known, else those out of fold."""

    what: str  # "test subjects" or "out of fold"
    samples: np.ndarray  # (N,) names
    subjects: np.ndarray  # (N,)
    expressions: np.ndarray  # (N,)
    errors: dict[str, np.ndarray]  # NME (N,) of each method; "final" is what was submitted
    pred: np.ndarray  # (N, 106, 3) what was submitted
    gt: np.ndarray  # (N, 106, 3)
    crops: Callable[[int], np.ndarray] | None  # the crops (3, S, S, 3) of sample i
    points2d: np.ndarray | None  # (N, 3, 106, 2) true landmarks in the crops, crop units; NaN where unknown
    ages: dict[str, float]  # years by subject, {} where unknown


def of_faces(
    what: str,
    faces: FaceStore,
    rows: np.ndarray,
    errors: dict[str, np.ndarray],
    pred: np.ndarray,
    gt: np.ndarray,
    pixels: dict[str, np.ndarray],
    ages: dict[str, float],
) -> Scored:
    """Scored samples that are `rows` (N,) of a store of faces. pixels: {sample: (3, 106, 2)} true 2D landmarks in the
    pictures' pixels, used where the store itself knows none."""
    table = faces.table.iloc[rows]
    points2d = np.array(faces.points2d[rows], dtype=np.float64)
    for i, (row, sample) in enumerate(zip(rows, table["sample"])):
        if sample in pixels and not np.isfinite(points2d[i]).any():
            points2d[i] = [moved(faces.transforms[row, view], pixels[sample][view]) for view in range(3)]
    names = (table[column].to_numpy(dtype=str) for column in ("sample", "subject", "expression"))
    return Scored(what, *names, errors, pred, gt, lambda i: faces.crops[rows[i]], points2d, ages)


def of_store(store: OofStore, errors: dict[str, np.ndarray], pred: np.ndarray) -> Scored:
    """The out-of-fold samples where their faces are not at hand: no pictures."""
    expressions = np.array([sample.replace("_", "/", 1).split("/", 1)[-1] for sample in store.samples])
    return Scored("out of fold", store.samples, store.subjects, expressions, errors, pred, store.truth, None, None, {})


def sections(
    results: pd.DataFrame, scored: Scored, choice: dict, comparison: pd.DataFrame, duel: pd.DataFrame, runs: dict
) -> list[tuple[str, str]]:
    """Heading and body of each section. runs: what `trainings` says of the runs."""
    parts = [
        ("Result", _result(results, scored, choice)),
        ("Error curves", _curves(scored)),
        ("Where the error is", _where(scored)),
        ("A face to turn", _faces_to_turn(scored)),
        ("The worst and the best", _worst_and_best(scored)),
        ("Second layers", _stacking(choice, comparison, duel, scored)),
        ("Time, seeds, versions", _made_by(choice, runs)),
    ]
    return [(heading, body) for heading, body in parts if body]


def trainings(runs: Path) -> dict[str, dict[str, Any]]:
    """For each network of a runs folder: folds, epochs, minutes of all folds, parameters that tell it apart, seed."""
    found = {}
    for folder in sorted(path for path in runs.iterdir() if path.is_dir()) if runs.is_dir() else ():
        done = sorted(marker.parent for marker in folder.glob("fold*/done.json"))
        if not done:
            continue
        config = read_json(done[0] / "config.json")
        histories = [pd.read_csv(fold / "history.csv") for fold in done]
        found[folder.name] = {
            "backbone": config.get("backbone", ""),
            "size": config.get("image_size", ""),
            "fusion": config.get("fusion", ""),
            "head": config.get("head", ""),
            "folds": len(done),
            "epochs": len(histories[0]),
            "minutes": sum(history["seconds"].sum() for history in histories) / 60,
            "seed": config.get("seed", ""),
        }
    return found


def _result(results: pd.DataFrame, scored: Scored, choice: dict) -> str:
    nme = scored.errors["final"]
    split = "test" if scored.what == "test subjects" else "oof"
    row = results[(results["name"] == "final") & (results["split"] == split)].iloc[0]
    figures = {
        f"NME, {scored.what}": f"{nme.mean():.4f}",
        "95 % interval over subjects": f"{row['nme_low']:.4f} to {row['nme_high']:.4f}",
        "of the mean shape's error": f"{nme.mean() / scored.errors['mean_shape'].mean():.2f}",
        "AUC up to 0.1": f"{score.auc(nme):.3f}",
        "failures": f"{score.failure_rate(nme):.1f} %",
    }
    columns = {"name": "method", "nme": "NME", "nme_low": "low", "nme_high": "high",
               "inner_nme": "inner NME", "auc": "AUC", "failure_rate": "failures %"}  # fmt: skip
    tables = "".join(
        f"<h3>{title}</h3>"
        + report.table(results[results["split"] == split].drop(columns="split").rename(columns=columns))
        for split, title in (("test", "Test subjects"), ("oof", "Out of fold"))
        if (results["split"] == split).any()
    )
    return (
        report.numbers(figures)
        + report.paragraph(choice["reason"])
        + tables
        + report.paragraph(
            "NME: mean landmark distance after the official alignment, in eye distances. Low and high bound 95 % of a "
            "bootstrap over subjects. mean_shape looks at no picture; final is what was submitted.",
            quiet=True,
        )
    )


def _curves(scored: Scored) -> str:
    names = [name for name in scored.errors if name in ("mean_shape", "baseline", "mean", "ridge", "final")]
    curves = charts.error_curves({name: scored.errors[name] for name in names})
    return report.chart(curves, f"The share of samples with at most a given error, {scored.what}.")


def _where(scored: Scored) -> str:
    pred, gt, subjects, nme = scored.pred, scored.gt, scored.subjects, scored.errors["final"]
    tables = {
        "by region": breakdown.by_region(pred, gt, subjects),
        "by expression": breakdown.by_group(nme, scored.expressions, subjects),
        "as seen in each view": breakdown.by_view(pred, gt, subjects),
    }
    if scored.ages and set(subjects) <= set(scored.ages):
        years = np.array([scored.ages[subject] for subject in subjects])
        by_age = breakdown.by_group(nme, breakdown.age_groups(years), subjects)
        tables["by age"] = by_age.assign(group=by_age["group"].str.split(" · ").str[1])
    blocks = "".join(
        f"<div><h3>{name.capitalize()}</h3>"
        + report.chart(charts.group_bars(table), "")
        + report.table(table)
        + "</div>"
        for name, table in tables.items()
    )
    return f'<div class="pairs">{blocks}</div>' + report.paragraph(
        "By region and view: mean landmark error in eye distances; by expression and age: NME. As seen in a view: without the "
        "part along that camera's line of sight, with the side cameras 40 degrees aside.",
        quiet=True,
    )


def _faces_to_turn(scored: Scored) -> str:
    nme = scored.errors["final"]
    order = np.argsort(nme)
    spread = np.linspace(0, len(nme) - 1, min(TURNED + 2 * SHOWN, len(nme)), dtype=int)
    chosen = list(dict.fromkeys([*order[::-1][:SHOWN], *order[:SHOWN], *spread]))[: TURNED + 2 * SHOWN]
    aligned = score.align(scored.pred[chosen], scored.gt[chosen])
    samples = [
        {
            "label": f"{scored.samples[i]} · NME {nme[i]:.3f}" + _rank(k, len(chosen)),
            "text": f"{scored.samples[i]}: NME {nme[i]:.4f}",
            "prediction": shape,
            "truth": scored.gt[i],
        }
        for k, (i, shape) in enumerate(zip(chosen, aligned))
    ]
    return report.viewer(samples, scored.gt.mean(axis=(0, 1)))


def _rank(place: int, count: int) -> str:
    if place < SHOWN and count > 2 * SHOWN:
        return " (among the worst)"
    return " (among the best)" if place < 2 * SHOWN and count > 2 * SHOWN else ""


def _worst_and_best(scored: Scored) -> str:
    if scored.crops is None:
        return ""
    order = np.argsort(scored.errors["final"])
    blocks = ""
    for title, chosen in (("The worst", order[::-1][:SHOWN]), ("The best", order[:SHOWN])):
        pictures = "".join(
            report.picture(strip(scored, int(i)), f"{scored.samples[i]}, NME {scored.errors['final'][i]:.4f}")
            for i in chosen
        )
        blocks += f"<h3>{title}</h3>" + f'<div class="pairs">{pictures}</div>'
    drawn = scored.points2d is not None and np.isfinite(scored.points2d).any()
    note = (
        "Orange: what was submitted, blue: the truth, both seen by each camera as it sees the true landmarks."
        if drawn
        else "This data has no 2D landmarks, so that the cameras are not known and nothing can be drawn on the pictures."
    )
    return blocks + report.paragraph(note, quiet=True)


def strip(scored: Scored, i: int, side: int = 256) -> np.ndarray:
    """A sample's three crops side by side with truth and prediction drawn on them: (side, 3 * side, 3) uint8."""
    views = [cv2.resize(np.asarray(view), (side, side), interpolation=cv2.INTER_AREA) for view in scored.crops(i)]
    aligned = score.align(scored.pred[i : i + 1], scored.gt[i : i + 1])[0]
    for view, picture in enumerate(views):
        seen = None if scored.points2d is None else scored.points2d[i, view]
        if seen is None or not np.isfinite(seen).all():
            continue
        camera = fit_camera(scored.gt[i], seen)
        for name, shape in (("truth", scored.gt[i]), ("prediction", aligned)):
            draw(picture, project(camera, shape) * side, _COLOURS[name])
    return np.concatenate(views, axis=1)


def _stacking(choice: dict, comparison: pd.DataFrame, duel: pd.DataFrame, scored: Scored) -> str:
    shown = ["name", "nme", "nme_low", "nme_high", "ratio", "ratio_low", "ratio_high", "seconds"]
    text = report.paragraph(choice["reason"])
    for name in choice.get("not_chosen", []):
        text += report.paragraph(f"{name} does not surely beat both the mean and ridge: it could not be chosen.")
    text += report.table(comparison[[column for column in shown if column in comparison]])
    ratio = choice.get("ratio_to_best_network")
    if ratio:
        text += report.paragraph(
            f"Chosen anew for each group of subjects without its say, the out-of-fold NME is {choice['nested_nme']:.4f}: "
            f"{ratio[0]:.3f} (95 % interval {ratio[1]:.3f} to {ratio[2]:.3f}) of that of the best network, "
            f"{choice['best_network']}."
        )
    if {"lightgbm", "neural"} <= set(duel.columns):
        surely = duel["better"].value_counts()
        text += report.paragraph(
            f"Coordinate by coordinate, LightGBM has the lower error in {(duel['gain'] < 0).sum()} of {len(duel)}, surely in "
            f"{surely.get('lightgbm', 0)}; the neural layer surely in {surely.get('neural', 0)}."
        )
        text += report.chart(
            charts.coordinate_maps(duel["gain"].to_numpy().reshape(-1, 3), scored.gt.mean(axis=0), "eye distances"),
            "Error of LightGBM minus that of the neural layer: blue where the trees are better, red where the network is.",
        )
    return text


def _made_by(choice: dict, runs: dict) -> str:
    from kpl.bench.report import machine

    trained = pd.DataFrame([{"network": name, **values} for name, values in runs.items()])
    layers = pd.DataFrame(
        [{"second layer": name, "seconds": value} for name, value in choice.get("seconds", {}).items()]
    )
    versions = {"Python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}
    return (
        report.paragraph(machine())
        + report.table(trained, digits=1)
        + report.table(layers, digits=1)
        + report.paragraph(f"Seed of the second layers: {choice.get('seed', 0)}. Folds are those of folds.csv.")
        + report.paragraph(", ".join(f"{name} {version}" for name, version in versions.items()), quiet=True)
    )
