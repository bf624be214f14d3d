"""Networks asked again about the pictures in a mirror, and averaged where that helps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from kpl import compare, score
from kpl.faces import FaceStore
from kpl.files import read_json
from kpl.stack import joined
from kpl.stack.oof import GROUPS, OofStore
from kpl.train import predict_mirrored


def average_where_better(store: OofStore, runs: Path, faces: FaceStore) -> tuple[OofStore, pd.DataFrame]:
    """The store with a network's answers averaged with those to mirrored pictures, where that surely is better.

    Surely: the 95 % interval of the paired difference in NME, over subjects, lies below zero; the network is then
    called "name+mirror". It is decided once for each group of subjects, by the others alone, and once by all, for new
    samples. Networks of other faces than those at hand stay as they are. Also returns one row a trial: network, ratio,
    ratio_low, ratio_high (to the network alone, all subjects), used, and how many groups use it.
    """
    labelled = pd.DataFrame({"sample": store.samples, "fold": store.folds})
    kept, used, trials = [], np.empty((GROUPS + 1, len(store.networks)), dtype=int), []
    for k, name in enumerate(store.networks.tolist()):
        alone = (name, store.answered[k], store.test_answered[k])
        if read_json(runs / name / f"fold{store.folds.min()}" / "config.json")["store"] != faces.fingerprint:
            used[:, k] = len(kept)
            kept.append(alone)
            continue
        mean = joined.network(
            runs / name,
            labelled,
            store.test_samples.tolist(),
            lambda folder, points: ((points + predict_mirrored(folder, faces)) / 2).astype(np.float32),
        )
        errors = score.nme(mean[0], store.truth), score.nme(store.answered[k], store.truth)
        says = [store.groups != group for group in range(GROUPS)] + [np.ones(len(store.samples), dtype=bool)]
        gains = [compare.paired(*(own[say] for own in errors), store.subjects[say]) for say in says]
        better = np.array([gain.better for gain in gains])
        needed = np.unique(better).astype(int)  # which of the two answers: one, where all agree
        used[:, k] = len(kept) + np.searchsorted(needed, better)
        kept += [(alone, (f"{name}+mirror", *mean))[answer] for answer in needed]
        trials.append((name, *gains[-1][3:6], better[-1], better[:-1].sum()))
    names, points, tests = zip(*kept)
    answers = {"answers": np.array(names), "answered": np.stack(points), "test_answered": np.stack(tests)}
    columns = ["network", "ratio", "ratio_low", "ratio_high", "used", "groups"]
    return replace(store, used=used, **answers), pd.DataFrame(trials, columns=columns)
