"""Photographs as people hand them over: exchanged, mirrored, grey, dark, cut off, of other people: what kpl.predict says then.

`./run_all.sh bench photographs`: pictures of test subjects, changed in one way each; the error against that of the untouched ones,
how often there was a warning, and how often there was none although the error is over twice as large and the spread hardly larger.

With --ablation it trains networks of equal budget instead, whose pictures were changed in training in no way, by geometry alone,
by light and colour alone, or as the released weights' were, and asks each about changed crops. With --points, an npz of a
public network's landmarks on two public portraits (arrays ours, points_NAME, iod_NAME), on these, too.
"""

import time
from argparse import Namespace
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cells
import cv2
import matplotlib.cbook
import numpy as np
import pandas as pd
import skimage
from joblib import cpu_count

from bench import report
from bench.cameras import WORSE
from kpl import captures, faces, released, score
from kpl.captures import pictures
from kpl.config import path
from kpl.errors import BadInput
from kpl.faces.geometry import LYING, upright
from kpl.files import read_npz
from kpl.landmarks import GROUPS
from kpl.released import Ensemble, answer
from kpl.train import augment, trained

PORTRAITS = {"astronaut": Path(skimage.__file__).parent / "data/astronaut.png"}
PORTRAITS["grace_hopper"] = Path(matplotlib.cbook._get_data_path("sample_data/grace_hopper.jpg"))
STRENGTHS, SPOILING = augment.STRENGTHS, augment.spoiling
COLOURS = {"light": 0.0, "contrast": 0.0, "hue": 0.0, "saturation": 0.0, "value": 0.0, "spoiled": 0.0}
STILL = {"turn": 0.0, "scale": 0.0, "shift": 0.0}
ABLATION = {
    "none": None,
    "studio": STRENGTHS["studio"],
    "geometry": STRENGTHS["photographs"]._replace(**COLOURS, cast=0.0, dark=1.0, grey=0.0),
    "light and colour": STRENGTHS["photographs"]._replace(**STILL, cut=0.0),
    "photographs": STRENGTHS["photographs"],
}
COMMON = {"backbone": "mobilenetv2", "points2d": 1.0, "weights": "packaged", "frozen": True, "view_dropout": 0.3}
COMMON |= {"batch_size": 4, "lr": 3e-3, "fold": 0, "folds": 6, "tracker": "none"}
CUT = 0.15  # of a face


def main(arguments: list[str]) -> None:
    parser = report.parser("photographs", __doc__)
    parser.add_argument("--captures", type=path, default=path("input/studio"), help="with test subjects")
    parser.add_argument("--each", type=int, default=1, help="samples of each test subject")
    parser.add_argument("--weights", default="released", help="released, or a folder of kpl.release")
    parser.add_argument("--ablation", type=path, metavar="FACES", help="train on these faces, and compare, instead")
    parser.add_argument("--epochs", type=int, default=8, help="of the ablation's trainings")
    parser.add_argument("--image-size", type=int, default=80, help="of the ablation's networks")
    parser.add_argument("--points", type=path, help="landmarks of the two portraits")
    options = parser.parse_args(arguments)
    table = ablation(options) if options.ablation else changed(options)
    report.publish(table.round(4), options.out)


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


def ablation(options: Namespace) -> pd.DataFrame:
    """A row for each training: the error on held-out samples' crops, untouched and changed, and on the portraits."""
    runs = options.out.with_suffix("")
    with ProcessPoolExecutor(cpu_count()) as pool:
        networks = pool.map(train, ABLATION, *zip(*[(options, runs)] * len(ABLATION)))
        rows = [{"augmented": name} | row for name, row in zip(ABLATION, networks)]
    return pd.DataFrame(rows)


def train(name: str, options: Namespace, runs: Path) -> dict[str, float]:
    """One training, finished ones are kept, and what it is worth. Its strength takes the place of 02's `studio`."""
    own = {"faces": options.ablation, "runs": runs, "name": name.replace(" ", "_"), "image_size": options.image_size}
    own |= {"epochs": options.epochs, "augment": "none" if ABLATION[name] is None else "studio"}
    if ABLATION[name] is not None:
        spoil = SPOILING("studio" if name == "studio" else "photographs")
        augment.STRENGTHS, augment.spoiling = STRENGTHS | {"studio": ABLATION[name]}, lambda _: spoil
    made = cells.run("02_train_fold", **COMMON, **own)
    folder, store = made["p"].run_folder, made["store"]
    config = COMMON | {"image_size": options.image_size, "fusion": "late", "share": made["p"].share, "head": made["p"].head}
    card = {"networks": [{"name": name, "config": config | {"dropout": made["p"].dropout}}], "recipe": store.recipe["name"]}
    card |= {"crop_size": store.recipe["size"], "usual": {"error": [1.0] * 106, "residual": 1.0, "doubt": 1.0}}
    network = Ensemble(card, [trained(folder, card["networks"][0]["config"])])
    held_out = read_npz(folder / "predictions.npz", ("samples", "split"))
    names = held_out["samples"][held_out["split"] == "oof"]
    some = np.flatnonzero(store.table["sample"].isin(names))[::2]
    crops, truth = np.asarray(store.crops[some]), store.points3d[some]
    bottom = np.arange(crops.shape[2]) < 0.8 * crops.shape[2]
    worse = {"untouched": lambda crops: crops} | {word: WORSE[word] for word in list(WORSE)[:4]}
    worse |= {"cold": lambda crops: crops * [0.6, 0.9, 1.3], "bottom fifth black": lambda crops: crops * bottom[:, None, None]}
    found = {}
    for word, change in worse.items():
        made_worse = np.clip(change(crops.astype(np.float32)), 0, 255).astype(np.uint8)
        parts = np.array_split(made_worse, -(-len(some) // 16))
        found[word] = score.nme(np.concatenate([answer(network, part).landmarks for part in parts]), truth).mean()
    return found | (on_portraits(network, options.points) if options.points else {})


def on_portraits(network: Ensemble, file: Path) -> dict[str, float]:
    """Mean distance to given landmarks, in eye distances, of the eyes', lips' and nose's, by the middle view alone."""
    names = [f"{kind}_{name}" for name in PORTRAITS for kind in ("points", "iod")]
    given, found = read_npz(file, ("ours", *names)), {}
    recipe = faces.recipes.get(network.card["recipe"], network.card["crop_size"])
    for name, portrait in PORTRAITS.items():
        cut = faces.cutting.cut_face(pictures.read(str(portrait)).pixels, 1, recipe, faces.geometry.AS_IT_IS)
        crops = np.stack([np.zeros_like(cut.pixels), cut.pixels, np.zeros_like(cut.pixels)])
        points = faces.geometry.moved(faces.geometry.inverse(cut.matrix), answer(network, crops[None]).points2d[0, 1])
        off = np.linalg.norm(points[given["ours"]] - given[f"points_{name}"], axis=1) / given[f"iod_{name}"]
        for group in ("eyes", "lips", "nose"):
            found[f"{name}, {group}"] = off[np.isin(given["ours"], GROUPS[group])].mean()
    return found
