"""The last step: the chosen second layer's shapes for the samples that are to be submitted."""

import logging
from pathlib import Path

import numpy as np

from kpl import stack
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.oof import OofStore
from kpl.training.inference import predict_network

log = logging.getLogger("kpl")


def shapes_to_submit(
    choice: str, seed: int, store: OofStore, layers: stack.StackStore, faces: FaceStore, runs: Path
) -> tuple[np.ndarray, np.ndarray]:
    """The rows (M,) of `faces` to submit and their canonical shapes (M, 106, 3), by the second layer called `choice`.

    On the faces that the networks were trained on, these are the samples without truth, predicted already. On any
    others (told by their fingerprint, never by sample names, which may coincide) it is every sample: the networks in
    `runs` predict them now, and the layer is fitted again on the out-of-fold store. A sample without a single picture
    gets the mean shape, and is said. Raises BadInput if the second layers were fitted on another out-of-fold store.
    """
    if choice not in stack.NAMES or choice not in layers.names or not np.array_equal(layers.samples, store.samples):
        raise BadInput("the second layers do not belong to this out-of-fold store: run 04_stack again.")
    if is_training_store(faces, store):
        rows = np.flatnonzero(~faces.has_truth)
        answers = layers.test_points[list(layers.names).index(choice)]
        points = _in_order(faces.table["sample"].iloc[rows], layers.test_samples, answers)
    else:
        rows = np.arange(len(faces.table))
        new_points = np.stack([predict_network(runs, name, faces) for name in store.networks])
        points = stack.refit(stack.layer_called(choice), store, new_points, seed)
    unseen = ~faces.seen[rows].any(axis=1)
    for sample in faces.table["sample"].iloc[rows][unseen]:
        log.warning("%s has no usable picture: it gets the mean shape.", sample)
    return rows, np.where(unseen[:, None, None], store.truth.mean(axis=0), points)


def is_training_store(faces: FaceStore, store: OofStore) -> bool:
    """Whether `faces` are the very ones that the out-of-fold store was gathered from."""
    return faces.fingerprint == store.fingerprint


def _in_order(wanted: list[str], samples: np.ndarray, points: np.ndarray) -> np.ndarray:
    place = {sample: i for i, sample in enumerate(samples)}
    missing = [sample for sample in wanted if sample not in place]
    if missing:
        raise BadInput(
            f"sample {missing[0]} is not among the second layers' test samples: run 03_oof and 04_stack again."
        )
    return points[np.array([place[sample] for sample in wanted], dtype=int)]
