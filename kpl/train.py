"""One network, one image size, one fold: train it, resume it at any step, keep what it found."""

import json
import logging
import shutil
import sys
import time
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from accelerate.utils import gather_object, reduce
from tqdm import tqdm

from kpl import ensemble, faces, folds, score
from kpl.config import TrainFold, checked, path
from kpl.errors import BadInput
from kpl.faces import FaceStore
from kpl.files import write_json
from kpl.networks import backbones
from kpl.training import build, checkpoints, engine, guards, loader, parallel, run, schedule
from kpl.training.inference import predict_rows
from kpl.training.learner import Learner
from kpl.views import Views, batch_count, epoch_batches, share

log = logging.getLogger("kpl")


def train_fold(config: TrainFold, store: FaceStore) -> pd.DataFrame:
    """Train one fold and write its run folder: weights.safetensors, config.json, history.csv, predictions.npz,
    done.json, and the logs of TensorBoard.

    Killed and started again, it goes on from its last checkpoint, on a CPU with the same result to the last bit;
    finished, it returns at once. Returns the history, one row an epoch. Raises BadInput if the folder holds a run with
    other settings, the settings cannot be used, or training cannot go on (see kpl.training.guards).
    """
    run.check(config)
    folder = config.run_folder
    held_out = hold_out(config, store)
    run.refuse_another(config, store, folder)
    if not (folder / "done.json").exists():
        if config.processes > 1 and not parallel.is_one_of_several():
            parallel.launch(config)
        else:
            with guards.room_on_disk(folder):
                _train(config, store, held_out)
    if not parallel.is_one_of_several():  # the others may still be reading
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return pd.read_csv(folder / "history.csv")


def hold_out(config: TrainFold, store: FaceStore) -> np.ndarray:
    """(N,) whether a sample with truth belongs to the fold that is held out. Folds are read from <runs>/folds.csv."""
    if not 0 <= config.fold < config.folds:
        raise BadInput(f"fold {config.fold} is not one of the {config.folds} folds: they count from 0.")
    known = store.known
    fold = np.full(len(known), -1)
    subjects = store.table["subject"].to_numpy()[known]
    fold[known] = folds.load_or_make(path(config.runs) / "folds.csv", subjects, config.folds, config.seed)
    return fold == config.fold


def _train(config: TrainFold, store: FaceStore, held_out: np.ndarray) -> None:
    folder, accelerator = config.run_folder, engine.start(config)
    state = checkpoints.newest(folder) or {}
    train_rows, held_out_rows = np.flatnonzero(store.known & ~held_out), np.flatnonzero(store.known & held_out)
    torch.manual_seed(config.seed)
    published = config.weights == "auto" and not state and backbones.published_weights_at_hand(config.backbone)
    network = build.untrained(config, store, train_rows, pretrained=published).to(accelerator.device)
    if config.weights not in ("auto", "none"):
        backbones.load_weights(
            network, str(ensemble.released_file() if config.weights == "released" else path(config.weights))
        )
    if accelerator.is_main_process:  # now that the settings are known to make a network
        write_json(folder / "config.json", run.settings(config, store))
    learner = Learner(config, network, accelerator, state)
    del state  # it would take as much memory again
    learn(config, store, learner, train_rows, held_out_rows)
    if accelerator.is_main_process:
        network, kept = learner.kept()
        rows = np.concatenate([np.flatnonzero(held_out), np.flatnonzero(~store.known)])
        points = predict_rows(network, store, config.image_size, rows, config.batch_size)
        history = pd.DataFrame(learner.progress["history"])
        run.save_results(folder, store, rows, held_out, points, network.state_dict(), history, kept)
    accelerator.wait_for_everyone()
    accelerator.end_training()


def learn(
    config: TrainFold, store: FaceStore, learner: Learner, train_rows: np.ndarray, held_out_rows: np.ndarray
) -> None:
    """The epoch loop: takes `learner` from where it stands to the last epoch, or to where patience ends."""
    progress, history, accelerator = learner.progress, learner.progress["history"], learner.accelerator
    step_size = config.batch_size * config.accumulate
    steps = batch_count(len(train_rows), step_size)  # an epoch
    total, warmup = steps * config.epochs, round(steps * config.warmup)
    if progress["step"]:
        log.warning("%s: going on after step %d of %d.", learner.where, progress["step"], total)

    @lru_cache(maxsize=2)
    def epoch_keys(epoch: int) -> list:
        return epoch_batches(train_rows, epoch, config.seed, step_size)

    def own_share(step: int) -> tuple[list, float]:
        return share(epoch_keys(step // steps)[step % steps], accelerator.process_index, accelerator.num_processes)

    views = Views(store, config.image_size, config.augment, config.seed)
    keys = (own_share(step)[0] for step in range(progress["step"], total))
    with loader.ahead(views, keys, config.workers) as batches, engine.tracking(accelerator, config, len(history)):
        for epoch in range(len(history), config.epochs):
            if _patience_is_over(config, history):
                accelerator.print(
                    f"{learner.where}: no better hold-out NME for {config.patience} epochs: it ends here."
                )
                break
            learner.model.train()
            for step in _bar(range(progress["step"], (epoch + 1) * steps), learner, f"{epoch + 1}/{config.epochs}"):
                started = time.perf_counter()
                batch = next(batches)
                progress["waited"] += time.perf_counter() - started
                lr = config.lr * schedule.rate(step, total, warmup, config.cycles)
                learner.step(batch, lr, own_share(step)[1])
                progress["seconds"] += time.perf_counter() - started
                if config.save_every and (step + 1) % config.save_every == 0 and (step + 1) % steps:
                    _save(learner, store)
            _end_epoch(learner, store, held_out_rows, len(train_rows), lr)
            _save(learner, store)


def _end_epoch(learner: Learner, store: FaceStore, held_out_rows: np.ndarray, samples: int, lr: float) -> None:
    """Ask the network for the held-out samples, and write the epoch of `samples` samples into the history."""
    config, progress, accelerator = learner.config, learner.progress, learner.accelerator
    learner.refuse_divergence(progress["losses"])
    started = time.perf_counter()
    rows = held_out_rows[accelerator.process_index :: accelerator.num_processes]
    pred = predict_rows(learner.learned, store, config.image_size, rows, config.batch_size)
    errors = np.array(gather_object(score.nme(pred, store.points3d[rows]).tolist()))
    loss = torch.tensor([float(loss) for loss in progress["losses"]], dtype=torch.float64).mean()
    row = {
        "epoch": len(progress["history"]) + 1,
        "loss": reduce(loss.to(accelerator.device), "mean").item(),
        "nme": float(errors.mean()),
        "auc": score.auc(errors),
        "lr": lr,
        "seconds": progress["seconds"] + time.perf_counter() - started,
        "samples_per_second": samples / progress["seconds"],
        "wait": progress["waited"] / progress["seconds"],  # share of the steps' time
    }
    learner.end_epoch(row)
    accelerator.log({name: value for name, value in row.items() if name != "epoch"}, step=row["epoch"])
    accelerator.print(
        f"{learner.where}: epoch {row['epoch']}/{config.epochs}, loss {row['loss']:.3f}, hold-out NME {row['nme']:.4f}, "
        f"{row['seconds']:.0f} s",
        flush=True,
    )


def _save(learner: Learner, store: FaceStore) -> None:
    """A checkpoint, unless the run is not worth one."""
    guards.refuse_changed_faces(store)
    learner.refuse_divergence(learner.progress["losses"])
    guards.refuse_ruined_weights(learner.network, learner.where, learner.config.run_folder)
    if learner.accelerator.is_main_process:
        checkpoints.save(learner.config.run_folder, learner.progress["step"], learner.state_dict())


def _patience_is_over(config: TrainFold, history: list[dict]) -> bool:
    errors = [row["nme"] for row in history]
    return 0 < config.patience <= len(errors) - 1 - int(np.argmin(errors)) if errors else False


def _bar(steps: range, learner: Learner, epoch: str) -> tqdm:
    hidden = learner.accelerator.num_processes > 1  # their lines would mix
    return tqdm(steps, f"{learner.where}, epoch {epoch}", leave=False, delay=5, disable=hidden)


def main(argument: str) -> int:
    """One of several processes of a fold; `argument` is its config as JSON."""
    parallel.end_with_parent()
    try:
        config = checked(TrainFold, json.loads(argument))
        train_fold(config, faces.load(path(config.faces)))
    except BadInput as error:
        print(f"{parallel.SENTENCE}{error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
