"""Writing a data set of synthetic captures in the competition's layout.

<root>/<subject>/<expression>/Images/<view>/t.jpg
                       lying pictures, scale x (1280 x 720)
train_list.txt, val_list.txt, test_list.txt
                       six lines a sample: for each view the picture's path from the root, then the
                       square face box "x1 y1 x2 y2" in the lying picture's pixels
train_gt.pkl, val_gt.pkl
                       {sample: (106, 3) float64}, the contract's canonical frame
points2d.npz           samples (N,), points (N, 3, 106, 2) float32, lying pixels; training and validation samples
cameras.npz            samples, intrinsics K (N, 3, 3, 3), extrinsics [R|t] (N, 3, 3, 4); of the same samples
subjects.csv           subject, age (years)
held_out/              test_gt.pkl, points2d.npz and cameras.npz of the test subjects
manifest.csv           file, bytes, sha256 of all of the above
studio.json            settings, composition, versions, the manifest's own hash: written last, so that it marks a
                       finished set

The files of the validation split are there where it has subjects. A set of crops has, in place of pictures, lists and
known truth, a store of faces (kpl.faces.store: crops.npy, faces.csv, targets.npz, done.json), whose frames are
of scale 1.

Pixels are continuous coordinates: (0, 0) is the outer corner of the first pixel, whose centre is (0.5, 0.5).
A canonical point p is seen at u = K (R p + t), divided by u's third: lying pixels, head pose included.

Any number of processes and machines may work in one folder: each subject has a record below .done/ as soon as it is
complete (kpl.studio.dataset.records), and whoever finds all of them there writes the files about the whole set.
"""

import os
import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, fields
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from kpl.errors import BadInput
from kpl.files import read_json, write_json
from kpl.studio import worker
from kpl.studio.dataset import aggregates, crops, disk, manifest, records
from kpl.studio.dataset.settings import Settings

RECIPE = 2  # raised whenever the same settings give other pictures
_INGREDIENTS = ("anny", "warp-lang", "numpy", "opencv-python")


def make(
    root: Path, settings: Settings, jobs: int, cache: Path, shard: tuple[int, int] = (1, 1), device: str = "cpu"
) -> bool:
    """Write the data set, going on where an interrupted run stopped; a finished one is left as it is.

    `jobs` processes share the subjects; the bytes depend on the settings alone, and on whether `device` (Warp's name)
    is a GPU. `cache` keeps the anatomy for other runs. `shard` (i, n) makes every n-th subject. Returns whether the set
    is finished: another shard's subjects may be missing. Raises BadInput if `root` holds a data set of other settings,
    or files that are none, or the disk is too small.
    """
    wanted = described(settings, device)
    if not is_finished(root):
        claimed = root / records.FOLDER / "settings.json"
        if claimed.exists():
            _compare(root, read_json(claimed), wanted)
        elif root.exists() and any(path.name != records.FOLDER for path in root.iterdir()):
            raise BadInput(f"{root} holds files that the studio did not write: choose another folder.")
        disk.tell(root, settings, records.finished(root, settings))
        try:
            _compare(root, read_json(records.claim(root, wanted)), wanted)
            _make_subjects(root, settings, _own(settings, shard), jobs, cache, device)
            finish(root, settings)
        except (FileNotFoundError, BadInput):
            if not is_finished(root):  # else another process was faster, and has cleared the records away
                raise
    if not is_finished(root):
        return False
    _compare(root, read_json(root / "studio.json")["settings"], wanted)
    shutil.rmtree(root / records.FOLDER, ignore_errors=True)
    return True


def described(settings: Settings, device: str = "cpu") -> dict:
    """All that decides a data set's bytes, as studio.json has it."""
    return {**asdict(settings), "recipe": RECIPE, "device": device.split(":")[0]}


def is_finished(root: Path) -> bool:
    """Whether `root` holds a finished data set."""
    return (root / "studio.json").exists()


def finish(root: Path, settings: Settings) -> bool:
    """Write the files about the whole set if all subjects are there, studio.json last; returns whether they are."""
    if len(records.finished(root, settings)) < len(settings.numbers):
        return False
    made_with = read_json(root / records.FOLDER / "settings.json")
    aggregates.write_subjects(root, settings)
    if settings.crop_size:
        crops.write_store(root, settings)
    else:
        aggregates.write_lists(root, settings)
    aggregates.write_truth(root, settings)
    write_json(
        root / "studio.json",
        {
            "settings": made_with,
            "samples": settings.samples,
            "composition": aggregates.composition(settings),
            "manifest": manifest.write(root, settings),
            "versions": {name: metadata.version(name) for name in _INGREDIENTS},
        },
    )
    shutil.rmtree(root / records.FOLDER, ignore_errors=True)  # it holds the test subjects' truth, too
    for folder in (root, root / "held_out"):
        for left_over in folder.glob(".*.tmp*"):  # of a killed run
            left_over.unlink(missing_ok=True)
    return True


def settings_in(root: Path) -> Settings:
    """The settings of the data set, finished or not, in `root`. Raises BadInput if there is none of this recipe."""
    found = _made_with(root)
    if found.get("recipe") != RECIPE:
        raise BadInput(f"{root} was made by another version of the studio: make it again in another folder.")
    return Settings(**{field.name: found[field.name] for field in fields(Settings) if field.name in found})


def _made_with(root: Path) -> dict:
    if is_finished(root):
        return read_json(root / "studio.json")["settings"]
    if (root / records.FOLDER / "settings.json").exists():
        return read_json(root / records.FOLDER / "settings.json")
    raise BadInput(f"{root} holds no data set of the studio.")


def repair(root: Path, damaged: manifest.Damage, jobs: int, cache: Path, device: str = "cpu") -> None:
    """Make again what is missing or damaged in a finished set: the subjects of damaged pictures, or, if a file about
    the whole set is damaged, all that it is made from. Raises BadInput for another kind of device."""
    settings = settings_in(root)
    _compare(root, _made_with(root), described(settings, device))
    bad = {*damaged.missing, *damaged.broken}
    subjects = {int(name.split("/")[0]) for name in bad if name.split("/")[0].isdigit()}
    if settings.crop_size or any(not name.split("/")[0].isdigit() for name in bad):
        subjects = set(settings.numbers)
        (root / "studio.json").unlink()
    records.claim(root, described(settings, device))
    for number in subjects:
        shutil.rmtree(root / f"{number:05d}", ignore_errors=True)
    _make_subjects(root, settings, sorted(subjects), jobs, cache, device)
    if is_finished(root):
        shutil.rmtree(root / records.FOLDER)
    else:
        finish(root, settings)


def _compare(root: Path, found: dict, wanted: dict) -> None:
    found = asdict(Settings()) | {"device": "cpu"} | found  # of a set that was made before there was a setting
    different = [name for name in wanted if found.get(name) != wanted[name]]
    if different:
        changes = ", ".join(f"{name} {found.get(name)} and not {wanted[name]}" for name in different)
        raise BadInput(f"{root} was made with {changes}: choose another folder, or delete this one.")


def _make_subjects(root: Path, settings: Settings, own: list[int], jobs: int, cache: Path, device: str) -> None:
    """Make those of the subjects `own` that have no record yet; the bar shows the whole set."""
    done = records.finished(root, settings)
    pending = [number for number in own if number not in done]
    if not pending:
        return
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # read by the children's numpy: a process a core needs no threads
    context = get_context("spawn")
    pool = ProcessPoolExecutor(
        min(jobs, len(pending)), context, worker.start, (context.Lock(), cache, settings.scale, device, settings.rig)
    )
    bar = tqdm(total=settings.samples, initial=_samples(settings, done), desc="studio", unit="sample", ascii=True)
    try:
        tasks = [pool.submit(worker.make_subject, root, number, settings) for number in pending]
        for task in as_completed(tasks):
            task.result()
            bar.update(_samples(settings, records.finished(root, settings)) - bar.n)  # other shards' count, too
    finally:
        bar.close()
        pool.shutdown(cancel_futures=True)


def _own(settings: Settings, shard: tuple[int, int]) -> list[int]:
    index, count = shard
    return settings.numbers[index - 1 :: count]


def _samples(settings: Settings, numbers: set[int]) -> int:
    return sum(len(settings.expressions_of(number)) for number in numbers)
