"""What is known of a finished subject, in one file below <root>/.done until the whole set is finished.

A record is there as soon as its subject is complete, and never before: it is written last, and atomically. It holds the
arrays of _KNOWN for the subject's n samples and, of full frames, the pictures' paths, sizes and SHA-256; of crops, the
pictures themselves.
"""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np

from kpl.errors import BadInput
from kpl.files import read_npz, write_json, write_npz
from kpl.studio.dataset.settings import Settings

FOLDER = ".done"
KNOWN = ("points", "points2d", "boxes", "intrinsics", "extrinsics")  # see kpl.studio.portrait.Portrait
_FRAMES = (*KNOWN, "files", "bytes", "sha256")
_CROPS = ("points", "points2d", "intrinsics", "extrinsics", "squares", "jpeg", "bytes", "sha256")


def path(root: Path, number: int) -> Path:
    """The record of subject `number`."""
    return root / FOLDER / f"{number:05d}.npz"


def finished(root: Path, settings: Settings) -> set[int]:
    """The subjects that have a record."""
    there = set(os.listdir(root / FOLDER)) if (root / FOLDER).is_dir() else set()
    return {number for number in settings.numbers if f"{number:05d}.npz" in there}


def read(root: Path, number: int) -> dict[str, np.ndarray]:
    """A subject's record. Raises BadInput if it is damaged."""
    file = path(root, number)
    try:
        with np.load(file, allow_pickle=False) as stored:
            names = _CROPS if "jpeg" in stored.files else _FRAMES
    except ValueError as error:
        raise BadInput(f"{file} is damaged ({error}): delete it and run the same command again.") from None
    return read_npz(file, names)


def read_one(root: Path, number: int, name: str) -> np.ndarray:
    """One array of a subject's record. Raises BadInput if it is damaged."""
    return read_npz(path(root, number), (name,))[name]


def pictures(record: dict[str, np.ndarray], sample: int) -> list[np.ndarray]:
    """The three JPEG files, as uint8, of one sample of a record of crops."""
    ends = np.cumsum(record["bytes"])
    return [
        record["jpeg"][end - size : end]
        for end, size in zip(ends[3 * sample : 3 * sample + 3], record["bytes"][3 * sample : 3 * sample + 3])
    ]


def hashes(contents: list[bytes]) -> dict[str, np.ndarray]:
    """Sizes and SHA-256 of files, as they stand in a record."""
    return {
        "bytes": np.array([len(content) for content in contents], np.int64),
        "sha256": np.array([hashlib.sha256(content).hexdigest() for content in contents]),
    }


def write_frames(root: Path, number: int, files: dict[str, bytes], known: dict[str, np.ndarray]) -> None:
    """Write a subject's pictures, by their path below the subject's folder, all at once; then the record."""
    made = root / FOLDER / f"{number:05d}.{os.urandom(4).hex()}"
    try:
        for name, content in files.items():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            with open(made / name, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        _put(made, root / f"{number:05d}")
        names = [f"{number:05d}/{name}" for name in files]
        write_npz(path(root, number), **known, files=np.array(names), **hashes(list(files.values())))
    finally:
        shutil.rmtree(made, ignore_errors=True)


def write_crops(root: Path, number: int, contents: list[bytes], known: dict[str, np.ndarray]) -> None:
    """Write a subject's record with its pictures."""
    joined = np.frombuffer(b"".join(contents), np.uint8)
    write_npz(path(root, number), **known, jpeg=joined, **hashes(contents))


def _put(made: Path, place: Path) -> None:
    """Move a complete folder to its place. One that is there came by the same way and is complete, too."""
    try:
        os.rename(made, place)
    except OSError:
        if not place.is_dir():
            raise


def claim(root: Path, described: dict) -> Path:
    """The file of the settings that a set is being made with: the first process to come writes it."""
    file = root / FOLDER / "settings.json"
    if not file.exists():
        mine = file.with_name(f"settings.{os.urandom(4).hex()}.json")
        write_json(mine, described)
        try:
            os.link(mine, file)  # unlike a renaming, it fails where another process was faster
        except FileExistsError:
            pass
        except OSError:  # no links on this file system
            os.replace(mine, file)
        finally:
            mine.unlink(missing_ok=True)
    return file
