import os
import subprocess
import sys

import pytest
import torch

from kpl import config
from kpl.errors import BadInput
from kpl.train import device


@pytest.mark.parametrize("hardware, expected", [(True, "bf16"), (False, "fp16")])
def test_auto_is_what_the_device_does_well(monkeypatch, hardware, expected):
    """As torch answers: a T4 emulates bf16, slowly, and counts it unless told not to."""

    def supported(including_emulation=True):
        return hardware or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert device.precision("auto", gpu=True) == expected
    assert device.precision("auto", gpu=False) == "fp32"
    assert device.precision("bf16", gpu=False) == "bf16" and device.precision("fp32", gpu=True) == "fp32"


def test_fp16_without_a_gpu_is_refused():
    with pytest.raises(BadInput, match="needs a GPU"):
        device.precision("fp16", gpu=False)


def needing(most):
    """Something that needs memory for more than `most` samples, asked of the real CPU allocator."""
    asked = []

    def attempt(size):
        asked.append(size)
        if size > most:
            torch.empty(2**50)
        return "done"

    return attempt, asked


def test_the_size_is_halved_until_it_fits(caplog):
    attempt, asked = needing(2)
    assert device.fitting(attempt, 12, "net fold 0") == ("done", 2)
    assert asked == [12, 6, 3, 2] and "passes of 2 samples from here on" in caplog.text


def test_one_sample_too_many_ends_it():
    with pytest.raises(BadInput, match="does not hold one sample"):
        device.fitting(needing(0)[0], 4, "net fold 0")


def test_another_error_is_not_taken_for_a_full_memory():
    def attempt(size):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        device.fitting(attempt, 4, "net fold 0")


def test_a_scheduler_s_group_is_not_waited_for(tmp_path, monkeypatch):
    """A kernel that believed what SLURM's, MPI's or torch's launchers tell would wait for the others for ever."""
    told = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "PMI_SIZE")
    told += ("PMI_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "TORCHELASTIC_RUN_ID", "ACCELERATE_USE_CPU")
    for name in told:
        monkeypatch.setenv(name, "1")
    p = config.checked(config.TrainFold, config.defaults("02_train_fold") | {"runs": str(tmp_path), "tracker": "none"})
    assert device.start(p).num_processes == 1 and not set(told) & set(os.environ)


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_memory_that_was_freed_is_there_for_the_next_step():
    """64 MiB a step. In a process of its own, whose heap is new, and which ends with what it was told."""
    program = """
import resource, torch
from kpl.train import device

def pages(steps):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(pages(10))
device.keep_memory()
pages(10)  # until it has found its place
print(pages(10))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    fresh, kept = map(int, run.stdout.split())
    assert kept < 0.1 * fresh
