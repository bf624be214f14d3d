"""Photographs as people hand them over: exchanged, mirrored, grey, dark, cut off, of other people: what kpl.predict says then.

`./run_all.sh bench photographs`: pictures of test subjects, changed in one way each; the error against that of the untouched ones,
how often there was a warning, and how often there was none although the error is over twice as large and the spread hardly larger.
"""

import time
from argparse import Namespace

import cv2
import numpy as np
import pandas as pd

from bench import report
from kpl import captures, faces, released, score
from kpl.captures import pictures
from kpl.config import path
from kpl.errors import BadInput
from kpl.faces.geometry import LYING, upright

CUT = 0.15  # of a face


def main(arguments: list[str]) -> None:
    parser = report.parser("photographs", __doc__)
    parser.add_argument("--captures", type=path, default=path("input/studio"), help="with test subjects")
    parser.add_argument("--each", type=int, default=1, help="samples of each test subject")
    parser.add_argument("--weights", default="released", help="released, or a folder of kpl.release")
    options = parser.parse_args(arguments)
    report.publish(changed(options).round(4), options.out)


def changed(options: Namespace) -> pd.DataFrame:
    """A row for each change: error, its ratio to the untouched pictures' error, spread, warnings, seconds."""
    found = captures.find(options.captures)
    truth = captures.truth(options.captures / "held_out")
    rows = found[found["sample"].isin(truth)].groupby("subject").head(options.each)
    if rows["subject"].nunique() < 3:
        raise BadInput(f"{options.captures} needs three test subjects with truth in held_out: make them, or name others.")
    read = [[upright(pictures.read(file).pixels, LYING) for file in row] for row in rows[["view0", "view1", "view2"]].values]
    said = []
    for i, sample in enumerate(rows["sample"]):
        others = [read[(i + step * options.each) % len(read)] for step in (1, 2)]
        for change, triple in changes(*read[i], *others).items():
            started = time.perf_counter()
            face = released.predict(*triple, weights=options.weights)
            seconds = time.perf_counter() - started
            error = float(score.nme(face.landmarks[None], truth[sample][None])[0])
            said.append((change, sample, error, face.spread.mean(), bool(face.warnings), seconds))
    table = pd.DataFrame(said, columns=["change", "sample", "nme", "spread", "warned", "seconds"])
    plain = table[table["change"] == "untouched"].set_index("sample")
    own = plain.loc[table["sample"]]
    bad = (table["nme"].to_numpy() > 2 * own["nme"].to_numpy()) & ~table["warned"].to_numpy()
    table["silent"] = bad & (table["spread"].to_numpy() < 1.7 * own["spread"].to_numpy())
    means = table.drop(columns="sample").groupby("change", sort=False).mean()
    means.insert(1, "ratio", means["nme"] / means.loc["untouched", "nme"])
    return means.reset_index()


def changes(left, middle, right, other, third) -> dict[str, tuple]:
    """Upright pictures (H, W, 3) of a sample, and two other people's, as they may come."""
    mirror = lambda picture: np.ascontiguousarray(picture[:, ::-1])
    grey = lambda picture: np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    light = lambda *factors: tuple(np.clip(p * np.array(factors), 0, 255).astype(np.uint8) for p in (left, middle, right))
    beside = lambda picture, whose: np.concatenate([whose, picture], axis=1)
    cut = lambda side: tuple(cut_off(picture, side) for picture in (left, middle, right))
    return {
        "untouched": (left, middle, right),
        "exchanged": (right, middle, left),
        "all mirrored": (mirror(left), mirror(middle), mirror(right)),
        "left one mirrored": (mirror(left), middle, right),
        "right one mirrored": (left, middle, mirror(right)),
        "middle one first": (middle, left, right),
        "middle one thrice": (middle, middle, middle),
        "three people": (left, other[1], third[2]),
        "another in the middle": (left, other[1], right),
        "a second person beside, in one": (left, beside(middle, other[1]), right),
        "others beside, in two": (beside(left, other[0]), beside(middle, third[1]), right),
        "black and white": (grey(left), grey(middle), grey(right)),
        "the middle one black and white": (left, grey(middle), right),
        "warm light": light(1.25, 1.0, 0.6),
        "cold light": light(0.6, 0.9, 1.3),
        "a quarter as bright": light(0.25, 0.25, 0.25),
        "15 % cut off: left": cut("left"),
        "15 % cut off: right": cut("right"),
        "15 % cut off: top": cut("top"),
        "15 % cut off: bottom": cut("bottom"),
        "the middle one alone": (None, middle, None),
    }


def cut_off(picture: np.ndarray, side: str) -> np.ndarray:
    """An upright picture whose frame ends within the face, at 15 % of the detector's box."""
    found = faces.detect.faces(picture)
    x1, y1, x2, y2 = found.boxes[faces.detect.main_faces(found, *picture.shape[1::-1])[0]]
    left, right, top, bottom = np.round([x1 + CUT * (x2 - x1), x2 - CUT * (x2 - x1), y1 + CUT * (y2 - y1), y2 - CUT * (y2 - y1)])
    parts = {"left": np.s_[:, int(left) :], "right": np.s_[:, : int(right)], "top": np.s_[int(top) :]}
    return np.ascontiguousarray(picture[(parts | {"bottom": np.s_[: int(bottom)]})[side]])
