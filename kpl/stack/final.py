"""The last step: the chosen second layer's shapes for the samples that are to be submitted."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.stack.crossfit import StackStore
from kpl.stack.notebook import refit_called
from kpl.stack.oof import OofStore
from kpl.train import predict_network

log = logging.getLogger("kpl")


def shapes_to_submit(
    choice: str, seed: int, store: OofStore, layers: StackStore, faces: FaceStore, runs: Path, others: Sequence[FaceStore] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """The rows (M,) of `faces` to submit and their canonical shapes (M, 106, 3), by the second layer called `choice`.

    On the faces that the networks were trained on, these are the samples without truth, predicted already. On any
    others (told by their fingerprint, never by sample names, which may coincide) it is every sample: the networks in
    `runs` predict them now, and the layer is fitted again on the out-of-fold store. Where networks were trained on
    crops of several recipes, `others` are the same captures by the other recipes. A sample without a single picture
    gets the mean shape, and is said. Raises BadInput if the second layers were fitted on another out-of-fold store, and
    before anything is predicted, if a recipe is missing.
    """
    if choice not in layers.names or not np.array_equal(layers.samples, store.samples):
        raise BadInput("the second layers do not belong to this out-of-fold store: run 04_stack again.")
    if is_training_store(faces, store):
        rows = np.flatnonzero(~faces.has_truth)
        place = _places(faces.table["sample"].iloc[rows], layers.test_samples, "the second layers' test samples")
        points = layers.test_points[list(layers.names).index(choice)][place]
    else:
        rows = np.arange(len(faces.table))
        points = refit_called(choice, store, _predicted(store, [faces, *others], runs), seed)
    unseen = ~faces.seen[rows].any(axis=1)
    for sample in faces.table["sample"].iloc[rows][unseen]:
        log.warning("%s has no usable picture: it gets the mean shape.", sample)
    return rows, np.where(unseen[:, None, None], store.truth.mean(axis=0), points)


def is_training_store(faces: FaceStore, store: OofStore) -> bool:
    """Whether `faces` are the very ones that the out-of-fold store was gathered from."""
    return faces.fingerprint == store.fingerprint


def _predicted(store: OofStore, given: list[FaceStore], runs: Path) -> np.ndarray:
    """What the networks say of all samples of the first of the stores: (K, F, M, 106, 3)."""
    by_recipe = {faces.recipe["name"]: faces for faces in reversed(given)}
    missing = sorted(set(store.recipes.tolist()) - set(by_recipe))
    if missing:
        said = f"the networks were trained on crops of the recipes {', '.join(sorted(set(store.recipes)))}, and the faces given"
        remedy = f"run 01_preprocess with -p recipe {missing[0]}, and give those too."
        raise BadInput(f"{said} are not of {', '.join(missing)}: {remedy}")
    wanted, answers = given[0].table["sample"], []
    for network, recipe in zip(store.networks.tolist(), store.recipes.tolist()):
        own = by_recipe[recipe]
        answers.append(predict_network(runs, network, own)[:, _places(wanted, own.table["sample"], own.folder)])
    return np.stack(answers)


def _places(wanted: Sequence[str], samples: Sequence[str], where: str | Path) -> np.ndarray:
    place = {sample: i for i, sample in enumerate(samples)}
    if missing := [sample for sample in wanted if sample not in place]:
        raise BadInput(f"sample {missing[0]} is not among {where}: run the notebooks before this one again.")
    return np.array([place[sample] for sample in wanted], dtype=int)
