"""Batches made ahead of the step: in a thread of this process, or in loader processes that the thread looks after.

A thread is enough where samples are cheap: OpenCV and NumPy work beside the step. What a batch holds depends on its
keys alone, so a loader process that died or hangs costs nothing but time: others make its batches again.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from kpl.errors import BadInput
from kpl.views import Key, Views

log = logging.getLogger("kpl")
AHEAD = 4  # batches that wait for the step
GLANCE = 2.0  # seconds without a batch after which one looks whether the loader processes are alive
SILENCE = 300.0  # seconds without a batch after which a loader process is given up
MOST_LOSSES = 3  # times in a row that loader processes may be lost
END = object()

Batch = list[Tensor]  # views (B, 3, S, S, 3) uint8, points3d (B, 106, 3), points2d (B, 3, 106, 2)


@contextmanager
def ahead(
    views: Views, batches: Iterable[list[Key]], workers: int = 0, silence: float = SILENCE
) -> Iterator[Iterator[Batch]]:
    """Batches of the given keys, in order, made by a thread with `workers` processes (0: by the thread itself).

    A loader process that says nothing for `silence` seconds counts as lost. Raises BadInput if loader processes are
    lost again and again, or nothing comes at all; whatever else making a batch raises is raised here.
    """
    ready: queue.Queue = queue.Queue(AHEAD)
    stop = threading.Event()
    thread = threading.Thread(target=_fill, args=(ready, stop, views, batches, workers, silence), daemon=True)
    thread.start()
    try:
        yield _taken(ready, (MOST_LOSSES + 1) * silence, views)
    finally:
        stop.set()
        thread.join(timeout=10)


def _taken(ready: queue.Queue, patience: float, views: Views) -> Iterator[Batch]:
    while True:
        try:
            batch = ready.get(timeout=patience)
        except queue.Empty:
            raise BadInput(
                f"no batch came from {views.store.folder} for {patience / 60:.0f} minutes: see whether its disk answers, "
                "then start again."
            ) from None
        if batch is END:
            return
        if isinstance(batch, BaseException):
            raise batch
        yield batch


def _fill(
    ready: queue.Queue, stop: threading.Event, views: Views, batches: Iterable[list[Key]], workers: int, silence: float
) -> None:
    try:
        source = _from_processes(views, batches, workers, silence) if workers else _made(views, batches)
        for batch in source:
            if torch.cuda.is_available():
                batch = [tensor.pin_memory() for tensor in batch]
            if not _put(ready, stop, batch):
                return
        _put(ready, stop, END)
    except Exception as error:  # noqa: BLE001  (it is raised where the batches are used)
        _put(ready, stop, error)


def _put(ready: queue.Queue, stop: threading.Event, item: Any) -> bool:
    """Wait until there is room for `item`; False if nobody wants it any more."""
    while not stop.is_set():
        try:
            ready.put(item, timeout=0.1)
            return True
        except queue.Full:
            continue
    return False


def _made(views: Views, batches: Iterable[list[Key]]) -> Iterator[Batch]:
    for keys in batches:
        yield [torch.from_numpy(np.stack(part)) for part in zip(*(views[key] for key in keys))]


def _from_processes(views: Views, batches: Iterable[list[Key]], workers: int, silence: float) -> Iterator[Batch]:
    """What `_made` yields, from `workers` processes; lost ones are replaced, but not more than MOST_LOSSES in a row."""
    asked: deque[list[Key]] = deque()  # for, and not come yet

    def asking(batches: Iterable[list[Key]]) -> Iterator[list[Key]]:
        for keys in batches:
            asked.append(keys)
            yield keys

    batches, losses = iter(batches), 0
    while True:
        again, asked = asked, deque()
        loader = DataLoader(views, batch_sampler=asking(chain(again, batches)), num_workers=workers, timeout=GLANCE)
        try:
            for batch in _until_silent(iter(loader), silence):
                asked.popleft()
                losses = 0
                yield batch
            return
        except (RuntimeError, EOFError, OSError) as error:
            if not _means_a_lost_process(error):
                raise
            losses += 1
            reason = (str(error) or type(error).__name__).splitlines()[0]
            if losses == MOST_LOSSES:
                raise BadInput(
                    f"loader processes were lost {losses} times in a row ({reason}): start again with workers=0, "
                    "or give the machine more memory."
                ) from error
            log.warning("a loader process was lost (%s): its batches are made again.", reason)


def _means_a_lost_process(error: Exception) -> bool:
    """Whether a DataLoader says so, or its process went while it handed a batch over; not what a sample itself
    raised."""
    raised_by_a_sample = str(error).startswith("Caught ")
    return not raised_by_a_sample and ("DataLoader" in str(error) or isinstance(error, (EOFError, OSError)))


def _until_silent(batches: Iterator[Batch], silence: float) -> Iterator[Batch]:
    """A DataLoader's batches. Only at a timeout does it see whether its processes are alive: in a thread no signal
    tells."""
    heard = time.monotonic()
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except RuntimeError as error:
            if "timed out" not in str(error):
                raise
            if time.monotonic() - heard > silence:
                raise RuntimeError(f"no DataLoader process answered for {silence:g} seconds") from error
            continue
        yield batch
        heard = time.monotonic()
