"""Test-time copies: a network asked again about mirrored pictures, or with one picture covered, and averaged if that
helps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from kpl import compare, score
from kpl.faces import FaceStore
from kpl.files import read_json
from kpl.oof import OofStore
from kpl.stacking import joined
from kpl.training.inference import AVERAGED, predict_copies


def average_where_better(store: OofStore, runs: Path, faces: FaceStore) -> tuple[OofStore, pd.DataFrame]:
    """The store with a network's answers averaged with those to its copies, where the held-out samples say it is
    better.

    Better: the 95 % interval of the paired difference in NME, over subjects, lies below zero; of several the lowest is
    taken, and the network is then called "name+mirror" or "name+views". Covered views are tried only with networks that
    were trained to miss some. Networks of other faces than those at hand stay as they are. Also returns one row a trial:
    network, copies, ratio, ratio_low, ratio_high (to the network alone) and used.
    """
    labelled = pd.DataFrame({"sample": store.samples, "fold": store.folds})
    names, points, test_points, trials = [], [], [], []
    for k, name in enumerate(store.networks.tolist()):
        best = name, store.points[k], store.test_points[k]
        plain = lowest = score.nme(store.points[k], store.truth)
        for averaged in _worth_a_trial(runs / name, faces):
            points_k, test_k = joined.network(
                runs / name,
                labelled,
                store.test_samples.tolist(),
                lambda folder, points, averaged=averaged: _mean_with_copies(folder, points, averaged, faces),
            )
            errors = score.nme(points_k, store.truth)
            gain = compare.paired(errors, plain, store.subjects)
            trials.append((name, averaged, gain.ratio, gain.ratio_low, gain.ratio_high))
            if gain.better and errors.mean() < lowest.mean():
                best, lowest = (f"{name}+{averaged}", points_k, test_k), errors
        for kept, part in zip((names, points, test_points), best):
            kept.append(part)
    table = pd.DataFrame(trials, columns=["network", "copies", "ratio", "ratio_low", "ratio_high"])
    better = replace(store, networks=np.array(names), points=np.stack(points), test_points=np.stack(test_points))
    return better, table.assign(used=(table["network"] + "+" + table["copies"]).isin(names))


def _worth_a_trial(folder: Path, faces: FaceStore) -> list[str]:
    fold = min(folder.glob("fold*/done.json")).parent
    config = read_json(fold / "config.json")
    if config.get("store") != faces.fingerprint or not (fold / "weights.safetensors").exists():
        return []
    return ["mirror", "views"] if config.get("view_dropout", 0) > 0 else ["mirror"]


def _mean_with_copies(folder: Path, points: np.ndarray, averaged: str, faces: FaceStore) -> np.ndarray:
    copies = len(AVERAGED[averaged])
    return ((points + copies * predict_copies(folder, averaged, faces)) / (copies + 1)).astype(np.float32)
