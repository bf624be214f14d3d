"""Batches made ahead, when asked and by processes that die. Everything here is real, the processes too."""

import os
import signal

import numpy as np
import pandas as pd
import pytest
import torch

from kpl.errors import BadInput
from kpl.landmarks import COUNT
from kpl.train import views as loader
from kpl.train.views import Views

KEYS = [[(0, 0), (0, 1)], [(0, 2), (1, 0)], [(1, 1)], [(1, 2)], [(2, 0)], [(2, 1)]]


class Store:
    """What Views reads of a face store."""

    def __init__(self, folder):
        rng = np.random.default_rng(0)
        self.table, self.folder = pd.DataFrame({"sample": ["a", "b", "c"]}), folder
        self.crops = rng.integers(0, 255, (3, 3, 32, 32, 3), dtype=np.uint8)
        self.points3d = rng.normal(size=(3, COUNT, 3))
        self.points2d = rng.uniform(size=(3, 3, COUNT, 2)).astype(np.float32)


class Deadly(Views):
    """Views that kill the process that makes one of them, unless it is this one."""

    def __init__(self, store):
        super().__init__(store, 16, changes="studio")
        self.parent = os.getpid()

    def __getitem__(self, key):
        if key == (1, 1) and os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(key)


def same(ours, theirs):
    return len(ours) == len(theirs) and all(
        torch.equal(a, b) for pair in zip(ours, theirs, strict=True) for a, b in zip(*pair, strict=True)
    )


@pytest.fixture
def expected(tmp_path):
    views = Views(Store(tmp_path), 16, changes="studio")
    return [[torch.from_numpy(np.stack(part)) for part in zip(*(views[key] for key in keys))] for keys in KEYS]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_is_what_its_keys_say_whoever_makes_it(tmp_path, expected, workers):
    assert same(list(loader.ahead(Views(Store(tmp_path), 16, changes="studio"), KEYS, workers)), expected)


def test_a_loader_process_that_is_lost_ends_it_with_one_sentence(tmp_path):
    with pytest.raises(BadInput, match="loader process was lost .*goes on from its last checkpoint"):
        list(loader.ahead(Deadly(Store(tmp_path)), KEYS, workers=2))


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_sample_raises_is_raised_where_the_batch_is_used(tmp_path, workers):
    batches = loader.ahead(Views(Store(tmp_path), 16), [[(0, 0)], [(0, 99)]], workers)
    next(batches)
    with pytest.raises(IndexError):
        next(batches)
