"""Batches made ahead, by a thread and by processes that die or hang. Everything here is real, the processes too."""

import os
import signal
import time

import numpy as np
import pandas as pd
import pytest
import torch

from kpl.errors import BadInput
from kpl.landmarks import COUNT
from kpl.training import loader
from kpl.views import Views

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
    """Views whose `bad` key, asked for in another process, does something bad to that process, the first `times`
    times."""

    def __init__(self, store, deed, times=1):
        super().__init__(store, 16, augment=True)
        self.deed, self.times, self.parent = deed, times, os.getpid()
        self.marks = store.folder

    def __getitem__(self, key):
        done = len(list(self.marks.glob("mark*")))
        if key == (1, 1) and done < self.times and os.getpid() != self.parent:
            (self.marks / f"mark{done}").touch()
            self.deed()
        return super().__getitem__(key)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def taken(views, **how):
    with loader.ahead(views, iter(KEYS), **how) as batches:
        return list(batches)


def same(ours, theirs):
    return len(ours) == len(theirs) and all(
        torch.equal(a, b) for pair in zip(ours, theirs, strict=True) for a, b in zip(*pair, strict=True)
    )


@pytest.fixture
def expected(tmp_path):
    views = Views(Store(tmp_path), 16, augment=True)
    return [[torch.from_numpy(np.stack(part)) for part in zip(*(views[key] for key in keys))] for keys in KEYS]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_is_what_its_keys_say_whoever_makes_it(tmp_path, expected, workers):
    assert same(taken(Views(Store(tmp_path), 16, augment=True), workers=workers), expected)


def test_a_loader_process_that_dies_is_replaced_and_no_batch_is_lost(tmp_path, expected, caplog):
    assert same(taken(Deadly(Store(tmp_path), die), workers=2), expected)
    assert "a loader process was lost" in caplog.text


@pytest.mark.slow
def test_a_loader_process_that_hangs_is_replaced_and_no_batch_is_lost(tmp_path, expected, caplog):
    assert same(taken(Deadly(Store(tmp_path), lambda: time.sleep(1000)), workers=1, silence=3), expected)
    assert "no DataLoader process answered for 3 seconds" in caplog.text


@pytest.mark.slow
def test_processes_that_die_again_and_again_end_it_with_one_sentence(tmp_path):
    with pytest.raises(BadInput, match="lost 3 times in a row .*workers=0"):
        taken(Deadly(Store(tmp_path), die, times=99), workers=1)


def test_a_disk_that_does_not_answer_ends_it_with_one_sentence(tmp_path):
    views = Views(Store(tmp_path), 16)
    views.__class__ = type("Slow", (Views,), {"__getitem__": lambda self, key: time.sleep(1.0)})
    with pytest.raises(BadInput, match=f"no batch came from {tmp_path}"):
        taken(views, silence=0.1)


def test_what_a_sample_raises_is_raised_where_the_batch_is_used(tmp_path):
    with loader.ahead(Views(Store(tmp_path), 16), iter([[(0, 0)], [(0, 99)]])) as batches:
        next(batches)
        with pytest.raises(IndexError):
            next(batches)


def test_leaving_early_ends_the_thread(tmp_path):
    import threading

    before = threading.active_count()
    with loader.ahead(Views(Store(tmp_path), 16), ([(0, 0)] for _ in range(10_000))) as batches:
        next(batches)
    assert threading.active_count() == before
