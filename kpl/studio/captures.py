"""Writing a data set of synthetic captures in the competition's layout.

<root>/<subject>/<expression>/Images/<view>/t.jpg
                       lying pictures, scale x (1280 x 720)
train_list.txt, test_list.txt
                       six lines a sample: for each view the picture's path from the root, then the
                       square face box "x1 y1 x2 y2" in the lying picture's pixels
train_gt.pkl           {sample: (106, 3) float64}, the contract's canonical frame
points2d.npz           samples (N,), points (N, 3, 106, 2) float32, lying pixels; training samples only
cameras.npz            samples, intrinsics K (N, 3, 3, 3), extrinsics [R|t] (N, 3, 3, 4); training samples
subjects.csv           subject, age (years)
held_out/              test_gt.pkl, points2d.npz and cameras.npz of the test subjects
studio.json            settings, versions, counts: written last, so that it marks a finished set

Pixels are continuous coordinates: (0, 0) is the outer corner of the first pixel, whose centre is (0.5, 0.5).
A canonical point p is seen at u = K (R p + t), divided by u's third: lying pixels, head pose included.
"""

import os
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from kpl.errors import BadInput
from kpl.files import atomic, read_json, write_json
from kpl.studio import people, worker

RECIPE = 1  # raised whenever the same settings give other pictures
FIRST_TEST_SUBJECT = 50001  # numbers of their own: they must not change with the count of training subjects
_INGREDIENTS = ("anny", "warp-lang", "numpy", "opencv-python")
_ARRAYS = ("points", "points2d", "boxes", "intrinsics", "extrinsics")


@dataclass(frozen=True)
class Settings:
    """What decides a data set's bytes. Raises BadInput for values that make no data set."""

    train_subjects: int = 60
    test_subjects: int = 16
    expressions: int = 7
    scale: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        if not all(0 <= count < FIRST_TEST_SUBJECT for count in (self.train_subjects, self.test_subjects)):
            raise BadInput(f"The numbers of subjects must lie between 0 and {FIRST_TEST_SUBJECT - 1}.")
        if self.train_subjects + self.test_subjects == 0:
            raise BadInput("A data set needs at least one subject: ask for training or test subjects.")
        if self.expressions not in (7, len(people.EXPRESSIONS)):
            raise BadInput(f"There are 7 or {len(people.EXPRESSIONS)} expressions, not {self.expressions}.")
        if not 0.05 <= self.scale <= 2:
            raise BadInput(f"The scale must lie between 0.05 and 2 (1 is 1280 x 720), not {self.scale}.")
        if self.seed < 0:
            raise BadInput(f"The seed must not be negative, not {self.seed}.")

    @property
    def subjects(self) -> dict[str, list[int]]:
        """Subject numbers of each split."""
        return {
            "train": list(range(1, self.train_subjects + 1)),
            "test": list(range(FIRST_TEST_SUBJECT, FIRST_TEST_SUBJECT + self.test_subjects)),
        }

    @property
    def samples(self) -> int:
        """The number of samples of both splits."""
        return (self.train_subjects + self.test_subjects) * self.expressions

    @property
    def expression_names(self) -> list[str]:
        """The expressions' folder names."""
        return list(people.EXPRESSIONS)[: self.expressions]


def make(root: Path, settings: Settings, jobs: int, cache: Path) -> None:
    """Write the data set, going on where an interrupted run stopped; a finished one is left as it is.

    `jobs` processes share the subjects; the bytes depend on the settings alone. `cache` keeps the anatomy for
    other runs. Raises BadInput if `root` holds a data set of other settings, or files that are none.
    """
    described = {**asdict(settings), "recipe": RECIPE}
    progress = root / ".done"
    if (root / "studio.json").exists():
        _compare(root, read_json(root / "studio.json")["settings"], described)
        shutil.rmtree(progress, ignore_errors=True)
        if not (root / "subjects.csv").exists():  # of a set that was made before there was one
            _write_subjects(root, settings)
        return
    if (progress / "settings.json").exists():
        _compare(root, read_json(progress / "settings.json"), described)
    elif root.exists() and any(root.iterdir()):
        raise BadInput(f"{root} holds files that the studio did not write: choose another folder.")
    write_json(progress / "settings.json", described)
    numbers = [number for split in settings.subjects.values() for number in split]
    pending = [number for number in numbers if not _record(root, number).exists()]
    _make_subjects(root, settings, pending, jobs, cache)
    _write_aggregates(root, settings)
    write_json(
        root / "studio.json",
        {
            "settings": described,
            "samples": settings.samples,
            "versions": {name: metadata.version(name) for name in _INGREDIENTS},
        },
    )
    shutil.rmtree(progress)  # it holds the test subjects' truth, too


def _compare(root: Path, found: dict, wanted: dict) -> None:
    different = [name for name in wanted if found.get(name) != wanted[name]]
    if different:
        changes = ", ".join(f"{name} {found.get(name)} and not {wanted[name]}" for name in different)
        raise BadInput(f"{root} was made with {changes}: choose another folder, or delete this one.")


def _record(root: Path, number: int) -> Path:
    """The file that says that a subject is complete; it holds all that is known of the subject's samples."""
    return root / ".done" / f"{number:05d}.npz"


def _make_subjects(root: Path, settings: Settings, pending: list[int], jobs: int, cache: Path) -> None:
    if not pending:
        return
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # read by the children's numpy: a process a core needs no threads
    context = get_context("spawn")
    pool = ProcessPoolExecutor(min(jobs, len(pending)), context, worker.start, (context.Lock(), cache, settings.scale))
    done = settings.samples - len(pending) * settings.expressions
    bar = tqdm(total=settings.samples, initial=done, desc="studio", unit="sample", ascii=True)
    try:
        tasks = [
            pool.submit(
                worker.make_subject, root, number, settings.seed, settings.expression_names, _record(root, number)
            )
            for number in pending
        ]
        for task in as_completed(tasks):
            task.result()
            bar.update(settings.expressions)
    finally:
        bar.close()
        pool.shutdown(cancel_futures=True)


def _write_subjects(root: Path, settings: Settings) -> None:
    numbers = [number for split in settings.subjects.values() for number in split]
    rows = [f"{number:05d},{people.age(settings.seed, number):.1f}\n" for number in numbers]
    with atomic(root / "subjects.csv") as temporary:
        temporary.write_text("subject,age\n" + "".join(rows), encoding="utf-8")


def _write_aggregates(root: Path, settings: Settings) -> None:
    _write_subjects(root, settings)
    for split, numbers in settings.subjects.items():
        folder = root if split == "train" else root / "held_out"
        samples = [f"{number:05d}/{name}" for number in numbers for name in settings.expression_names]
        records = []
        for number in numbers:
            with np.load(_record(root, number), allow_pickle=False) as record:
                records.append({name: record[name] for name in _ARRAYS})
        known = {
            name: np.concatenate([record[name] for record in records]) if records else np.zeros((0,))
            for name in _ARRAYS
        }
        with atomic(root / f"{split}_list.txt") as temporary:
            temporary.write_text("".join(map(_list_entry, samples, known["boxes"])), encoding="utf-8")
        with atomic(folder / f"{split}_gt.pkl") as temporary:
            temporary.write_bytes(pickle.dumps(dict(zip(samples, known["points"], strict=True)), protocol=4))
        names = np.array(samples, dtype=np.str_)
        with atomic(folder / "points2d.npz") as temporary:
            np.savez(temporary, samples=names, points=known["points2d"].astype(np.float32))
        with atomic(folder / "cameras.npz") as temporary:
            np.savez(temporary, samples=names, intrinsics=known["intrinsics"], extrinsics=known["extrinsics"])


def _list_entry(sample: str, boxes: np.ndarray) -> str:
    return "".join(f"{sample}/Images/{view}/t.jpg\n{' '.join(map(str, box))}\n" for view, box in enumerate(boxes))
