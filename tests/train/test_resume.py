"""Runs that are killed, and runs whose disk, memory or data fail them: nothing is lost, and the end is the same."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from kpl import faces, networks, train
from kpl.errors import BadInput
from kpl.files import read_json, write_json
from kpl.networks import FaceNetwork
from kpl.train import checkpoints
from train.folds_of import SMALL, parameters, trained

# Everything that has a state: dropout, a moving average, warm-up, restarts, several passes a step, the best epoch.
FULL = SMALL | dict(
    epochs=4,
    batch_size=2,
    accumulate=2,
    ema=0.9,
    warmup=0.5,
    cycles=2,
    keep="best",
    save_every=3,
    dropout=0.3,
    tracker="tensorboard",
)


@pytest.fixture(scope="module")
def store(tiny_faces):
    return faces.load(tiny_faces)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, store):
    """A run that nobody disturbed."""
    made = config(tmp_path_factory.mktemp("whole"), store)
    trained(made)
    return made


def config(runs, store, **changes):
    return parameters(runs, store, **FULL | changes)


def same(ours, theirs):
    """Whether two runs ended alike, to the last bit: weights, predictions, and history but for what a clock said."""
    a, b = (load_file(made.run_folder / "weights.safetensors") for made in (ours, theirs))
    p, q = (np.load(made.run_folder / "predictions.npz") for made in (ours, theirs))
    h, i = (
        pd.read_csv(made.run_folder / "history.csv").drop(columns=["seconds", "samples_per_second", "wait"])
        for made in (ours, theirs)
    )
    return (
        all(torch.equal(a[key], b[key]) for key in a)
        and all(np.array_equal(p[key], q[key]) for key in p)
        and h.equals(i)
        and read_json(ours.run_folder / "done.json") == read_json(theirs.run_folder / "done.json")
    )


class Stop(Exception):
    pass


def stopping(at):
    """A hook that ends training in its pass number `at`, between forward and backward."""
    passes = [0]

    def hook(module, _, __):
        if isinstance(module, FaceNetwork) and module.training:
            passes[0] += 1
            if passes[0] == at:
                raise Stop

    return torch.nn.modules.module.register_module_forward_hook(hook)


def network_of(made):
    parts = ("backbone", "image_size", "fusion", "share", "head", "dropout")
    return networks.create(*(getattr(made, part) for part in parts))


def train_until(made, store, passes):
    handle = stopping(passes)
    try:
        with pytest.raises(Stop):
            trained(made)
    finally:
        handle.remove()


@pytest.mark.parametrize("passes", [5, 22, 31])
def test_stopped_in_the_middle_of_an_epoch_it_ends_with_the_same_bits(tmp_path, store, whole, passes):
    made = config(tmp_path, store)
    train_until(made, store, passes)
    trained(made)
    assert same(made, whole)


def test_with_a_damaged_checkpoint_the_one_before_it_is_used_and_the_end_is_the_same(tmp_path, store, whole, caplog):
    made = config(tmp_path, store)
    train_until(made, store, 22)
    newest, before = checkpoints.files(made.run_folder)
    newest.write_bytes(newest.read_bytes()[:-1000])
    trained(made)
    assert f"{newest} is damaged" in caplog.text
    assert f"going on after step {int(before.name.split('.')[0])} " in caplog.text
    assert same(made, whole)


# Forks a trainer, kills it after a random while, looks at what it left, and again; a finished run is compared and begun anew.
KILLS = """
import json, multiprocessing, os, random, shutil, signal, sys, time
import torch
sys.path.insert(0, sys.argv[3])
from train.test_resume import config, same
from train.folds_of import trained
from kpl import faces
from kpl.train import checkpoints
from kpl.config import TrainFold
from kpl.networks import FaceNetwork

whole, kills = TrainFold(**json.loads(sys.argv[1])), int(sys.argv[2])
store = faces.load(whole.faces)
made = config(whole.runs / "killed", store, name="killed", save_every=whole.save_every, epochs=whole.epochs)
passes, draw = multiprocessing.RawValue("i"), random.Random(0)

def count(module, _, __):
    if isinstance(module, FaceNetwork) and module.training:
        passes.value += 1

def stand():
    found = checkpoints.newest(made.run_folder)
    return found["progress"]["step"] if found else 0

done = finished = most = 0
while done < kills:
    began, passes.value = stand(), 0
    child = os.fork()
    if not child:
        torch.nn.modules.module.register_module_forward_hook(count)
        sys.stdout = open(os.devnull, "w")
        code = 1
        try:
            trained(made)
            code = 0
        finally:
            os._exit(code)
    until, code = draw.randint(1, 20), None
    while passes.value < until and code is None:
        time.sleep(0.001)
        pid, status = os.waitpid(child, os.WNOHANG)
        code = status if pid else None
    if code is None:
        time.sleep(draw.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        code = os.waitpid(child, 0)[1]
    if (made.run_folder / "done.json").exists():
        assert same(made, whole), "a run that was killed has ended otherwise"
        finished += 1
        shutil.rmtree(made.run_folder)
        done += code == signal.SIGKILL
        continue
    assert code == signal.SIGKILL, code
    done += 1
    for file in checkpoints.files(made.run_folder):
        assert checkpoints.digest(file.read_bytes()) == file.name.split(".")[1], f"{file} cannot be loaded"
    most = max(most, began + (passes.value - 1) // made.accumulate - stand())
assert most <= made.save_every, f"{most} steps were lost"
print(json.dumps({"kills": done, "finished": finished, "most_steps_lost": most}))
"""


def killed(whole, kills):
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-c",
        KILLS,
        whole.model_dump_json(),
        str(kills),
        os.path.dirname(os.path.dirname(__file__)),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, env=environ)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.slow
def test_10_kills_at_random_moments_leave_no_bad_checkpoint_and_the_same_end(whole):
    told = killed(whole, 10)
    print(told)
    assert told["kills"] >= 10 and told["finished"] >= 1 and told["most_steps_lost"] <= FULL["save_every"]


@pytest.mark.slow
def test_a_few_kills_do_not_change_the_end(whole):
    assert killed(whole, 3)["most_steps_lost"] <= FULL["save_every"]


def test_a_disk_that_fills_ends_with_one_sentence_and_the_checkpoints_before_stay(tmp_path, store, whole):
    """The limit on a file's size makes the kernel refuse to write on, as a full disk does."""
    made = config(tmp_path, store)
    train_until(made, store, 12)
    before = checkpoints.files(made.run_folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (before[0].stat().st_size // 2, hard))
    try:
        with pytest.raises(BadInput, match="cannot be written to .*MiB are free.*make room and start again"):
            trained(made)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert checkpoints.files(made.run_folder) == before and checkpoints.newest(made.run_folder)
    trained(made)
    assert same(made, whole)


def full_memory(most):
    """A hook that does what a GPU does when a pass holds more than `most` samples."""

    def hook(module, inputs):
        if isinstance(module, FaceNetwork) and module.training and len(inputs[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    return torch.nn.modules.module.register_module_forward_pre_hook(hook)


def test_a_full_memory_halves_the_batch_and_keeps_the_step(tmp_path, store, whole, caplog):
    """Passes of 2 where 4 do not fit: the same run as one that was asked for two passes of 2 a step."""
    made = config(tmp_path, store, batch_size=4, accumulate=1)
    handle = full_memory(2)
    try:
        history = trained(made).history
    finally:
        handle.remove()
    assert "passes of 2 samples from here on" in caplog.text and len(history) == FULL["epochs"]
    a, b = (load_file(run.run_folder / "weights.safetensors") for run in (made, whole))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_memory_that_holds_no_sample_ends_with_one_sentence(tmp_path, store):
    handle = full_memory(0)
    try:
        with pytest.raises(BadInput, match="does not hold one sample"):
            trained(config(tmp_path, store))
    finally:
        handle.remove()


def test_faces_that_change_under_a_run_end_it_and_a_changed_set_is_refused(tmp_path, store):
    copy = tmp_path / "faces"
    shutil.copytree(store.folder, copy)
    ours = faces.load(copy)
    made = config(tmp_path / "runs", ours)
    train_until(made, ours, 6)
    write_json(copy / "done.json", read_json(copy / "done.json") | {"fingerprint": "another"})
    before = checkpoints.files(made.run_folder)
    with pytest.raises(BadInput, match="on other faces"):
        trained(made)
    with pytest.raises(BadInput, match="was changed while a network was trained on it"):
        train_rows = np.flatnonzero(ours.known)
        train.Run(made, ours, network_of(made), train_rows, networks.Start("none"))._save()  # opened before the change
    assert checkpoints.files(made.run_folder) == before


def test_weights_that_are_no_numbers_are_not_kept(tmp_path, store):
    made = config(tmp_path, store)
    train_until(made, store, 12)
    before = checkpoints.files(made.run_folder)

    def ruin(module, _, __):
        if isinstance(module, FaceNetwork) and module.training:
            next(module.parameters()).data[0] = float("nan")

    handle = torch.nn.modules.module.register_module_forward_hook(ruin)
    try:
        with pytest.raises(BadInput, match="no numbers any more|the loss is nan"):
            trained(made)
    finally:
        handle.remove()
    assert checkpoints.files(made.run_folder) == before
