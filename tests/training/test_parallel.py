"""One fold in two processes, with gloo."""

import dataclasses
import json
import subprocess
import sys
import time

import psutil
import pytest
import torch
from safetensors.torch import load_file
from test_train import SETTINGS

from kpl import faces, train
from kpl.config import TrainFold
from kpl.errors import BadInput
from kpl.training import checkpoints, parallel

# Batch statistics, and dropout's draws, are each process's own: nothing here has any.
EPOCHS = 6
ALIKE = dict(backbone="test_vit", fusion="average", points2d=0.0, dropout=0.0, epochs=EPOCHS, batch_size=4, folds=2)


@pytest.fixture(scope="module")
def store(tiny_faces):
    return faces.load(tiny_faces)


def config(runs, store, **changes):
    return TrainFold(faces=str(store.folder), runs=str(runs), **(SETTINGS | ALIKE | changes))


@pytest.mark.slow
def test_two_processes_learn_what_one_does_also_when_they_were_killed(tmp_path, store, capfd):
    """14 samples in batches of 4, 4, 3 and 3: the shares of two processes are not always of one size."""
    one, two = config(tmp_path / "one", store), config(tmp_path / "two", store, processes=2)
    alone = train.train_fold(one, store)
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCH, json.dumps(dataclasses.asdict(two))])
    _wait_for(lambda: checkpoints.files(two.run_folder))
    launcher.kill()
    launcher.wait()
    _wait_for(lambda: not _still_running(two.runs))  # they end with the one that launched them
    assert checkpoints.files(two.run_folder) and not (two.run_folder / "done.json").exists()
    shared = train.train_fold(two, store)
    told = capfd.readouterr()
    assert f"epoch {EPOCHS}/{EPOCHS}" in told.out and "going on after step" in told.out
    for column in ("loss", "nme", "lr"):
        assert shared[column].tolist() == pytest.approx(alone[column].tolist(), rel=1e-4)
    a, b = (load_file(made.run_folder / "weights.safetensors") for made in (one, two))
    assert all(torch.allclose(a[key], b[key], atol=1e-4) for key in a)
    other = train.train_fold(dataclasses.replace(one, name="other", batch_size=2), store)
    assert other["loss"].tolist() != pytest.approx(alone["loss"].tolist(), rel=1e-4)  # the tolerance can tell


@pytest.mark.slow
def test_what_ends_one_of_several_processes_is_told_in_one_sentence(tmp_path, store):
    with pytest.raises(BadInput, match="the loss is .* lower lr"):
        train.train_fold(config(tmp_path, store, processes=2, lr=1e12, epochs=3, backbone="test_resnet"), store)


LAUNCH = """
import json, sys
from kpl.training import parallel
from kpl.config import TrainFold
parallel.launch(TrainFold(**json.loads(sys.argv[1])))
"""


def _wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _still_running(text):
    """Command lines that hold `text`, of processes that are not zombies."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE and text in " ".join(process.info["cmdline"] or []):
            found.append(process.pid)
    return found


def test_more_processes_than_gpus_are_refused(tmp_path, store, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(BadInput, match="this machine has 1 GPUs"):
        parallel.launch(config(tmp_path, store, processes=2))
