"""What may go wrong in hours of training, each told in one sentence that says what is kept and what to do."""

import errno
import logging
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate.utils.memory import should_reduce_batch_size
from torch import Tensor, nn

from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import read_json

log = logging.getLogger("kpl")
EXPLODED = 1000.0  # times the first loss, or times 1 where that was smaller
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def room_on_disk(folder: Path) -> Iterator[None]:
    """A disk that fills ends the run with BadInput; its last checkpoints stay."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        free = shutil.disk_usage(folder).free / 2**20
        raise BadInput(
            f"{folder} cannot be written to ({error.strerror}, {free:.0f} MiB are free): make room and start again; "
            "it goes on from its last checkpoint."
        ) from error


def refuse_divergence(loss: float, first: float, lr: float, where: str, folder: Path) -> None:
    """Raise BadInput if a loss is no number, or far above the run's first one."""
    if not math.isfinite(loss) or abs(loss) > EXPLODED * max(1.0, abs(first)):
        raise BadInput(
            f"{where}: the loss is {loss:.3g}: start again with a lower lr than {lr:g} under another name, or delete {folder}."
        )


def refuse_ruined_weights(network: nn.Module, where: str, folder: Path) -> None:
    """Raise BadInput if a weight is no number, so that no checkpoint keeps it."""
    if not all(torch.isfinite(weight).all() for weight in network.state_dict().values()):
        raise BadInput(
            f"{where}: weights are no numbers any more: start again with a lower lr under another name, or delete {folder}."
        )


def refuse_changed_faces(store: FaceStore) -> None:
    """Raise BadInput if the faces on disk are others than those that training began with."""
    marker = store.folder / "done.json"
    if not marker.exists() or read_json(marker).get("fingerprint") != store.fingerprint:
        raise BadInput(
            f"{store.folder} was changed while a network was trained on it: bring the old faces back, "
            "or train under another name."
        )


def halving(gradients: Callable[[int], Tensor], batch_size: int, where: str, alone: bool = True) -> tuple[Tensor, int]:
    """`gradients(batch_size)`, with half the size as often as memory runs out; also the size that fitted.

    The samples of a step stay the same: smaller batches add up to the same gradient. Raises BadInput if one sample is
    too much, or this process is not `alone`: the others would wait for it.
    """
    while True:
        try:
            return gradients(batch_size), batch_size
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and not should_reduce_batch_size(error):
                raise
            if not alone:
                raise BadInput(
                    f"{where}: the memory does not hold {batch_size} samples: halve batch_size and double accumulate, "
                    "under another name."
                ) from error
            if batch_size == 1:
                raise BadInput(
                    f"{where}: the memory does not hold one sample: take a smaller image_size or backbone."
                ) from error
        batch_size = (batch_size + 1) // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        log.warning(
            "%s: the memory is full: batches of %d samples from here on, as many of them as make the same step.",
            where,
            batch_size,
        )
