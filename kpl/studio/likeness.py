"""`python -m kpl.studio.likeness DATA_SET`: how like the competition's data a set of captures is, in figures and
pictures.

Any captures that kpl.captures reads can be measured, real ones too; what a set lacks (truth, boxes, ages) is left out.
The measures: boxes by view, mean shape (the official NME against the competition's), spread by region after generalised
Procrustes analysis (Gower 1975), the spectrum of principal components in the canonical frame, that frame itself, where
the cameras stand by a fit to the 2D landmarks (kpl.cameras), and CenterFace's answers. Few subjects tell little of means: of
20, the mean shape strays by about 0.01.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from kpl import cameras, captures, config, landmarks, score
from kpl.captures import pictures
from kpl.errors import BadInput
from kpl.faces import detect, geometry
from kpl.files import write_csv
from kpl.landmarks import EYE_CENTERS, GROUPS

# The competition's figures. Boxes: its public validation list of 897 samples, lying pixels of 1280 x 720. Eye centres:
# the official baseline's predictions for the same samples. Scores: CenterFace's on real photographs.
LIST_SIDE, LIST_SIDES, LIST_STRAY = 302, (222, 411), 60
LIST_CENTERS = ((706, 259), (716, 339), (708, 454))
EYES = ((-0.378, 0.305, 1.104), (0.371, 0.301, 1.099))
EYES_SPREAD = 0.01
SCORES = (0.68, 0.90)
# Where a fit of this kind, to what our networks find in seven real captures, has the cameras: axes of 28 degrees.
YAWS = ("28 to 37", "about 4", "-28 to -37")
# Spread of the first studio's 200 subjects with expressions, 3D RMS in eye distances: no measure of the real data exists.
SPREADS = {"all": 0.082, "contour": 0.105, "brows": 0.066, "eyes": 0.057, "nose": 0.054, "lips": 0.092}
SPECTRUM = {8: 0.90, 14: 0.95, 32: 0.99}
MEAN_SHAPE_BAR, FOUND_BAR = 0.040, 0.995


def measure(root: Path, most_pictures: int) -> tuple[pd.DataFrame, dict]:
    """The table (columns what, measured, reference) of the captures in `root`, and what the pictures are drawn from.

    CenterFace looks at `most_pictures` samples at most, evenly chosen. Raises BadInput if `root` holds no captures.
    """
    samples = captures.find(root)
    truth = captures.truth(root)
    held_out = root / "held_out"
    if held_out.is_dir():
        truth |= captures.truth(held_out)
    boxes = captures.boxes(root)
    rows, drawn = [], {}
    if boxes:
        rows += box_rows(np.array(list(boxes.values())), _scale(samples))
    if truth:
        shapes = np.array([truth[name] for name in sorted(truth)])
        rows += shape_rows(shapes) + frame_rows(shapes)
        points = {name: each for name, each in captures.points2d(root).items() if name in truth}
        if points:
            drawn["yaw"], drawn["pitch"] = stands(np.array([*points.values()]), shapes)
            rows += rig_rows(drawn["yaw"], drawn["pitch"])
        drawn |= {"mean": shapes.mean(axis=0), "spread": _spreads(procrustes(shapes)), "usual_spread": SPREADS}
    if most_pictures:
        scores = detection_scores(samples.iloc[:: max(1, -(-len(samples) // most_pictures))])
        rows += detection_rows(scores)
        drawn["scores"] = scores
    ages = root / "subjects.csv"
    if ages.is_file():
        drawn["ages"] = pd.read_csv(ages)["age"].to_numpy()
        young, old = (drawn["ages"] < 30).mean(), (drawn["ages"] >= 55).mean()
        rows.append(("ages", f"{drawn['ages'].min():.0f} to {drawn['ages'].max():.0f}", "18 to 80"))
        rows.append(("younger than 30, 55 and older", f"{young:.2f}, {old:.2f}", "0.55, 0.20 (assumed)"))
    return pd.DataFrame(rows, columns=["what", "measured", "reference"]), drawn


def box_rows(boxes: np.ndarray, scale: float = 1.0) -> list[tuple[str, str, str]]:
    """Box sides and centres; boxes (N, 3, 4) in lying pixels of pictures that are `scale` of full size."""
    boxes = boxes / scale
    sides, centers = boxes[..., 2] - boxes[..., 0], (boxes[..., :2] + boxes[..., 2:]) / 2
    rows = [
        ("box side, mean", f"{sides.mean():.0f} px", f"{LIST_SIDE} px"),
        ("box side, range", f"{sides.min():.0f} to {sides.max():.0f} px", "{} to {} px".format(*LIST_SIDES)),
    ]
    for view, wanted in enumerate(LIST_CENTERS):
        mean, stray = centers[:, view].mean(axis=0), centers[:, view].std(axis=0)
        rows.append((f"box centre, view {view}", "({:.0f}, {:.0f})".format(*mean), "({}, {})".format(*wanted)))
        rows.append((f"  its spread, view {view}", "({:.0f}, {:.0f}) px".format(*stray), f"about {LIST_STRAY} px"))
    return rows


def stands(points2d: np.ndarray, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Yaw and pitch (N, 3), degrees, of the cameras that see 2D landmarks (N, 3, 106, 2) in lying pixels of faces that differ
    as the shapes (M, 106, 3) do."""
    upright = torch.from_numpy(np.stack([-points2d[..., 1], points2d[..., 0]], axis=-1))
    found = cameras.fit(upright, None, cameras.known_shapes(shapes))
    return found.yaw.numpy(), found.pitch.numpy()


def rig_rows(yaw: np.ndarray, pitch: np.ndarray) -> list[tuple[str, str, str]]:
    """Where the cameras stand as the face sees them; yaw and pitch (N, 3) in degrees, NaN where unknown."""
    rows = []
    for view, wanted in enumerate(YAWS):
        said = [f"{np.nanmean(angle[:, view]):.0f} +- {np.nanstd(angle[:, view]):.0f}" for angle in (yaw, pitch)]
        rows.append((f"camera of view {view}: yaw, pitch", " and ".join(said) + " degrees", f"{wanted}, within 10"))
    return rows


def shape_rows(shapes: np.ndarray) -> list[tuple[str, str, str]]:
    """Mean shape against the competition's, and spread; shapes (N, 106, 3) in the canonical frame."""
    errors = score.landmark_errors(shapes.mean(axis=0)[None], landmarks.MEAN_SHAPE[None])[0]
    rows = [("mean shape, NME", f"{errors.mean():.4f}", f"at most {MEAN_SHAPE_BAR:.3f}")]
    rows += [(f"  {region}", f"{errors[members].mean():.4f}", "") for region, members in GROUPS.items()]
    aligned = procrustes(shapes)
    rows += [
        (f"spread, {name}", f"{value:.3f}", f"{SPREADS[name]:.3f} +- 25 %") for name, value in _spreads(aligned).items()
    ]
    power = np.linalg.svd((shapes - shapes.mean(axis=0)).reshape(len(shapes), -1), compute_uv=False) ** 2
    shares = np.cumsum(power) / power.sum()
    return rows + [
        (f"{count} principal components hold", f"{shares[min(count, len(shares)) - 1]:.3f}", f"{share:.2f}")
        for count, share in SPECTRUM.items()
    ]


def frame_rows(shapes: np.ndarray) -> list[tuple[str, str, str]]:
    """Whether the truth stands as the competition's does; shapes (N, 106, 3) in the canonical frame."""
    rows = []
    for side, eye, wanted in zip(("left", "right"), EYE_CENTERS, EYES):
        mean, spread = shapes[:, eye].mean(axis=0), shapes[:, eye].std(axis=0).max()
        rows.append((f"{side} eye centre", "({:.3f}, {:.3f}, {:.3f})".format(*mean), "({}, {}, {})".format(*wanted)))
        rows.append(("  its largest spread", f"{spread:.4f}", f"under {EYES_SPREAD}"))
    spread = (shapes.std(axis=0) / landmarks.EYE_DISTANCE).mean(axis=0)
    rows.append(("spread of x, y, z", "{:.3f}, {:.3f}, {:.3f}".format(*spread), "at least 0.01, 0.03, 0.03"))
    return rows


def procrustes(shapes: np.ndarray) -> np.ndarray:
    """Shapes (N, 106, 3) moved, turned and scaled onto their own mean, in eye distances of that mean."""
    shapes = shapes - shapes.mean(axis=1, keepdims=True)
    mean = shapes.mean(axis=0)
    for _ in range(4):
        u, _, vt = np.linalg.svd(np.einsum("ki,nkj->nij", mean, shapes))
        scales = np.sqrt((mean**2).sum() / (shapes**2).sum(axis=(1, 2)))
        aligned = scales[:, None, None] * shapes @ (u @ vt).transpose(0, 2, 1)
        mean = aligned.mean(axis=0)
    return aligned / np.linalg.norm(mean[EYE_CENTERS[0]] - mean[EYE_CENTERS[1]])


def _spreads(aligned: np.ndarray) -> dict[str, float]:
    """3D root mean square distance from the mean, of all landmarks and by region."""
    squares = ((aligned - aligned.mean(axis=0)) ** 2).sum(axis=2)
    regions = {"all": np.arange(landmarks.COUNT), **{name: GROUPS[name] for name in SPREADS if name in GROUPS}}
    return {name: float(np.sqrt(squares[:, members].mean())) for name, members in regions.items()}


def detection_scores(samples: pd.DataFrame) -> np.ndarray:
    """CenterFace's best score (N, 3) in each sample's pictures, upright; 0 where it finds no face."""
    return np.array([[_best_score(row[f"view{view}"]) for view in captures.VIEWS] for _, row in samples.iterrows()])


def _best_score(path: str | None) -> float:
    try:
        found = detect.faces(pictures.read(path).pixels, geometry.LYING)
    except pictures.Unusable:
        return 0.0
    return float(found.scores.max(initial=0.0))


def detection_rows(scores: np.ndarray) -> list[tuple[str, str, str]]:
    """How often a face is found, by view, and how surely; scores (N, 3)."""
    rows = []
    for view in captures.VIEWS:
        found = scores[:, view] > 0
        rows.append((f"found, view {view}", f"{found.sum()} of {len(found)}", f"at least {FOUND_BAR:.1%}"))
        low, high = np.percentile(scores[found, view], [5, 95]) if found.any() else (0, 0)
        rows.append((f"  scores, 5 % to 95 %, view {view}", f"{low:.2f} to {high:.2f}", "{} to {}".format(*SCORES)))
    return rows


def _scale(samples: pd.DataFrame) -> float:
    """The size of the first readable picture over 1280 x 720."""
    for path in samples[["view0", "view1", "view2"]].to_numpy().ravel():
        try:
            return max(pictures.read(path).size) / 1280
        except pictures.Unusable:
            continue
    raise BadInput("no picture of the data set can be read: check that it is complete.")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code is 0, or 2 after one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m kpl.studio.likeness", description=__doc__.split("\n\n")[0])
    parser.add_argument("data_set", type=Path, help="folder of captures")
    parser.add_argument("--out", type=Path, default=Path("output/likeness"), help="folder of the results")
    parser.add_argument("--pictures", type=int, default=1000, help="samples that CenterFace looks at; 0 for none")
    options = parser.parse_args(arguments)
    try:
        table, drawn = measure(config.path(options.data_set), options.pictures)
    except BadInput as error:
        print(f"kpl.studio.likeness: {error}", file=sys.stderr)
        return 2
    print(table.to_string(index=False, header=True))
    out = config.path(options.out)
    write_csv(out / "likeness.csv", table)
    from kpl.studio import likeness_pictures  # here: matplotlib takes a second

    likeness_pictures.save(out, drawn)
    print(f"The table and its pictures are in {out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
