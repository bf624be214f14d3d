"""What carries over from the studio to other pictures: trainings of equal budget, each other than the first in one thing.

The first starts from ImageNet, on all faces given, of free rigs, changed in training as the released weights' were. Each is asked about
the test samples, as they are and changed, about faces of a wider rig, and with --points, an npz of a public network's landmarks on
two public portraits (arrays ours, points_NAME, iod_NAME), about these. What it wants is made by

    python -m kpl.studio --preset crops --rig free --crop-size 160 --out input/free
    python -m kpl.studio --preset crops --rig competition --crop-size 160 --out input/competition
    python -m kpl.studio --preset crops --rig 50 --crop-size 160 --train-subjects 1 --val-subjects 0 --test-subjects 20 \
        --subjects-with-all 0 --seed 50 --out input/wide
    ./run_all.sh bench transfer --faces input/free --fixed input/competition --wide input/wide

Finished trainings are kept.
"""

from argparse import Namespace
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import albumentations as A
import cells
import matplotlib.cbook
import numpy as np
import pandas as pd
import skimage
import torch
from joblib import cpu_count

from bench import report
from bench.cameras import WORSE, of_run
from kpl import captures, faces, score
from kpl.captures import pictures
from kpl.config import path
from kpl.faces import FaceStore
from kpl.files import read_npz, write_csv
from kpl.landmarks import GROUPS
from kpl.released import Ensemble, answer
from kpl.train import augment

PORTRAITS = {"astronaut": Path(skimage.__file__).parent / "data/astronaut.png"}
PORTRAITS["grace_hopper"] = Path(matplotlib.cbook._get_data_path("sample_data/grace_hopper.jpg"))
FIRST = {"backbone": "mobilenetv2", "image_size": 96, "points2d": 1.0, "weights": "packaged", "view_dropout": 0.3, "lr": 3e-3}
FIRST |= {"augment": "photographs", "warmup": 0.5, "ema": 0.99, "fold": 0, "folds": 20, "tracker": "none"}
AS_IT_WAS = augment.changes
PHOTOGRAPHS, NOTHING = augment.changes("photographs"), A.Compose([])
# Parameters of 02, and what it does not know: `changes` of its own, `subjects`, so many of whom it learns from, and `cost`
# of a step, for whose sake it takes fewer.
VARIANTS = {
    "the first": {},
    "from scratch": {"weights": "none"},
    "80 subjects": {"subjects": 80, "folds": 2},
    "the competition's rig": {"faces": "fixed"},
    "augmented: not at all": {"augment": "none"},
    "augmented: as the studio's": {"augment": "studio"},
    "augmented: geometry alone": {"changes": PHOTOGRAPHS._replace(colours=NOTHING, spoil=NOTHING)},
    "augmented: light and colour alone": {"changes": PHOTOGRAPHS._replace(turn=0.0, scale=0.0, shift=0.0, cut=0.0)},
    "160 px": {"image_size": 160, "cost": (160 / 96) ** 2},
}
BOTTOM = lambda crops: crops * (np.arange(crops.shape[2]) < 0.8 * crops.shape[2])[:, None, None]
CHANGES = {"test": lambda crops: crops} | {word: WORSE[word] for word in ("black and white", "a quarter as bright")}
CHANGES |= {"cold light": lambda crops: crops * [0.6, 0.9, 1.3], "the lowest fifth black": BOTTOM}
CHANGES |= {"the middle one alone": WORSE["the middle one alone"]}


def main(arguments: list[str]) -> None:
    parser = report.parser("transfer", __doc__)
    parser.add_argument("--faces", type=path, required=True, help="a store of free rigs, with its test subjects' truth")
    parser.add_argument("--fixed", type=path, help="the same people before the competition's rig")
    parser.add_argument("--wide", type=path, help="other people before a wider one")
    parser.add_argument("--points", type=path, help="landmarks of the two portraits")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--epochs", type=int, default=4, help="of the first; others take as long")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=0, help="loader processes of each")
    parser.add_argument("--each", type=int, default=4, help="every so manieth sample is asked about")
    parser.add_argument("--jobs", type=int, default=cpu_count(), help="trained at once")
    options = parser.parse_args(arguments)
    names = [name for name in options.variants if options.fixed or VARIANTS[name].get("faces") != "fixed"]
    with ProcessPoolExecutor(options.jobs) as pool:
        rows = list(pool.map(measured, names, [options] * len(names)))
    report.publish(pd.DataFrame(rows).round(4), options.out)


def measured(name: str, options: Namespace) -> dict[str, float | str]:
    """A row of the table: one training, and its errors."""
    torch.set_num_threads(max(1, cpu_count() // options.jobs))
    network, row = learnt(name, options), {"training": name}
    store, truth = faces.load(options.faces), captures.truth(options.faces / "held_out")
    for word, change in CHANGES.items():
        row[word] = error(network, store, truth, options.each, change)
    if options.wide:
        wide = captures.truth(options.wide / "held_out")
        row["wide rig"] = error(network, faces.load(options.wide), wide, options.each, CHANGES["test"])
    return row | (on_portraits(network, options.points, store.recipe) if options.points else {})


def learnt(name: str, options: Namespace) -> Ensemble:
    """The network of one training, as `kpl.release` would have it. Changes of its own take the place of 02's `photographs`."""
    own = VARIANTS[name] | {"name": "".join(letter if letter.isalnum() else "_" for letter in name)}
    changes, subjects, cost = (own.pop(word, other) for word, other in (("changes", PHOTOGRAPHS), ("subjects", 0), ("cost", 1)))
    store = faces.load(options.fixed if own.pop("faces", "") else options.faces)
    runs = options.out.with_suffix("") / f"{store.fingerprint}_{subjects or 'all'}"
    share = first_subjects(store, runs, subjects) if subjects else 1.0
    augment.changes = lambda name: changes if name == "photographs" else AS_IT_WAS(name)
    parameters = FIRST | own | {"faces": store.folder, "runs": runs, "epochs": max(1, round(options.epochs / share / cost))}
    parameters |= {"batch_size": options.batch_size, "workers": options.workers}
    made = cells.run("02_train_fold", **parameters)
    return of_run(made["p"].run_folder.parent)


def first_subjects(store: FaceStore, runs: Path, count: int) -> float:
    """Hold out all but so many subjects; the share of the samples that is left to learn from."""
    known = store.table["subject"][store.known]
    learning = known.unique()[:count]
    write_csv(runs / "folds.csv", pd.DataFrame({"subject": known.unique(), "fold": np.isin(known.unique(), learning).astype(int)}))
    return float(known.isin(learning).mean())


def error(network: Ensemble, store: FaceStore, truth: dict[str, np.ndarray], each: int, change) -> float:
    """Mean NME of test samples whose crops (N, 3, S, S, 3) are changed."""
    rows = np.flatnonzero(store.table["sample"].isin(truth))[::each]
    found = []
    for part in np.array_split(rows, -(-len(rows) // 16)):
        crops = np.clip(change(np.asarray(store.crops[part], np.float32)), 0, 255).astype(np.uint8)
        found.append(answer(network, crops).landmarks)
    return float(score.nme(np.concatenate(found), np.stack([truth[name] for name in store.table["sample"].iloc[rows]])).mean())


def on_portraits(network: Ensemble, file: Path, how: dict) -> dict[str, float]:
    """Mean distance to given landmarks, in eye distances, of the eyes', lips' and nose's, by the middle view alone."""
    names = [f"{kind}_{name}" for name in PORTRAITS for kind in ("points", "iod")]
    given, found = read_npz(file, ("ours", *names)), {}
    recipe = faces.recipes.get(how["name"], how["size"])
    for name, portrait in PORTRAITS.items():
        cut = faces.cutting.cut_face(pictures.read(str(portrait)).pixels, 1, recipe, faces.geometry.AS_IT_IS)
        crops = np.stack([np.zeros_like(cut.pixels), cut.pixels, np.zeros_like(cut.pixels)])
        points = faces.geometry.moved(faces.geometry.inverse(cut.matrix), answer(network, crops[None]).points2d[0, 1])
        off = np.linalg.norm(points[given["ours"]] - given[f"points_{name}"], axis=1) / given[f"iod_{name}"]
        for group in ("eyes", "lips", "nose"):
            found[f"{name}, {group}"] = off[np.isin(given["ours"], GROUPS[group])].mean()
    return found
