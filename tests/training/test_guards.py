import errno

import pytest
import torch

from kpl.errors import BadInput
from kpl.training import guards


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), 6000.0, -6000.0])
def test_a_loss_that_explodes_is_refused(tmp_path, loss):
    with pytest.raises(BadInput, match="lower lr than 0.1 under another name, or delete"):
        guards.refuse_divergence(loss, first=5.0, lr=0.1, where="net fold 0", folder=tmp_path)


@pytest.mark.parametrize("loss, first", [(4000.0, 5.0), (900.0, 0.01), (-900.0, 0.01)])
def test_a_loss_that_is_only_bad_is_not(tmp_path, loss, first):
    guards.refuse_divergence(loss, first, lr=0.1, where="net fold 0", folder=tmp_path)


def test_only_a_full_disk_is_told_as_one(tmp_path):
    with (
        pytest.raises(BadInput, match=f"{tmp_path} cannot be written to .* MiB are free"),
        guards.room_on_disk(tmp_path),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(PermissionError), guards.room_on_disk(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")


def needing(most):
    """Gradients that need memory for more than `most` samples, asked of the real CPU allocator."""
    asked = []

    def gradients(size):
        asked.append(size)
        if size > most:
            torch.empty(2**50)
        return torch.zeros(())

    return gradients, asked


def test_the_batch_is_halved_until_it_fits(caplog):
    gradients, asked = needing(2)
    _, size = guards.halving(gradients, 12, "net fold 0")
    assert asked == [12, 6, 3, 2] and size == 2 and "batches of 2 samples from here on" in caplog.text


def test_one_sample_too_many_or_others_that_wait_end_it():
    with pytest.raises(BadInput, match="does not hold one sample"):
        guards.halving(needing(0)[0], 4, "net fold 0")
    with pytest.raises(BadInput, match="halve batch_size and double accumulate"):
        guards.halving(needing(2)[0], 4, "net fold 0", alone=False)


def test_another_error_is_not_taken_for_a_full_memory():
    def gradients(size):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        guards.halving(gradients, 4, "net fold 0")
