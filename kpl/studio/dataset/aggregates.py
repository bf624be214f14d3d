"""The files about a whole data set, written from its subjects' records: lists, truth, cameras, subjects."""

import pickle
from pathlib import Path

import numpy as np

from kpl.files import atomic, write_npz
from kpl.studio.body import people
from kpl.studio.dataset import records
from kpl.studio.dataset.settings import ALL, Settings

_DECADES = range(10, 90, 10)


def write_subjects(root: Path, settings: Settings) -> None:
    """Write subjects.csv."""
    rows = [f"{number:05d},{people.age(settings.seed, number):.1f}\n" for number in settings.numbers]
    with atomic(root / "subjects.csv") as temporary:
        temporary.write_text("subject,age\n" + "".join(rows), encoding="utf-8")


def splits(settings: Settings) -> list[str]:
    """The splits that have files: train and test always, val where there are subjects of it."""
    return [split for split, numbers in settings.subjects.items() if numbers or split != "val"]


def write_lists(root: Path, settings: Settings) -> None:
    """Write the splits' list files."""
    for split in splits(settings):
        boxes = _known(root, settings, [split], "boxes")
        with atomic(root / f"{split}_list.txt") as temporary:
            temporary.write_text("".join(map(_list_entry, settings.samples_of(split), boxes)), encoding="utf-8")


def write_truth(root: Path, settings: Settings) -> None:
    """Write what is known of the samples; of the test subjects into held_out/. A store of crops holds the truth of the
    others itself."""
    for folder, group in ((root, ("train", "val")), (root / "held_out", ("test",))):
        group = [split for split in group if split in splits(settings)]
        samples = np.array([name for split in group for name in settings.samples_of(split)], dtype=np.str_)
        if not settings.crop_size or folder != root:
            for split in group:
                points = _known(root, settings, [split], "points")
                truth = dict(zip(settings.samples_of(split), points, strict=True))
                with atomic(folder / f"{split}_gt.pkl") as temporary:
                    temporary.write_bytes(pickle.dumps(truth, protocol=4))
            points2d = _known(root, settings, group, "points2d").astype(np.float32)
            write_npz(folder / "points2d.npz", samples=samples, points=points2d)
        cameras = {name: _known(root, settings, group, name) for name in ("intrinsics", "extrinsics")}
        write_npz(folder / "cameras.npz", samples=samples, **cameras)


def composition(settings: Settings) -> dict:
    """Who is in the data set: counts of subjects and samples by split, and ages by decade."""
    ages = np.array([people.age(settings.seed, number) for number in settings.numbers])
    by_split = {
        split: {
            "subjects": len(numbers),
            f"subjects_with_{ALL}_expressions": sum(len(settings.expressions_of(number)) == ALL for number in numbers),
            "samples": len(settings.samples_of(split)),
        }
        for split, numbers in settings.subjects.items()
    }
    decades = {f"{low}-{low + 9}": int(((ages >= low) & (ages < low + 10)).sum()) for low in _DECADES}
    return by_split | {"subjects_by_age": {name: count for name, count in decades.items() if count}}


def _known(root: Path, settings: Settings, group: list[str], name: str) -> np.ndarray:
    """One array of all records of some splits, one row a sample; (0,) where there is no subject."""
    numbers = [number for split in group for number in settings.subjects[split]]
    parts = [records.read_one(root, number, name) for number in numbers]
    return np.concatenate(parts) if parts else np.zeros((0,))


def _list_entry(sample: str, boxes: np.ndarray) -> str:
    return "".join(f"{sample}/Images/{view}/t.jpg\n{' '.join(map(str, box))}\n" for view, box in enumerate(boxes))
