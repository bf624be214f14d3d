"""Every file of a finished data set with its size and SHA-256, and the check of a folder against that."""

import csv
import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from kpl.errors import BadInput
from kpl.files import atomic, read_json
from kpl.studio.dataset import records
from kpl.studio.dataset.settings import Settings

NAME = "manifest.csv"
_APART = (NAME, "studio.json")  # the manifest's hash stands in studio.json, which marks a finished set
_NAMED = 3  # so many files of a kind are named


@dataclass
class Damage:
    """Files, by their path below the data set's folder, that are not as they should be."""

    missing: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.missing or self.broken or self.unexpected)

    def __str__(self) -> str:
        kinds = {"missing": self.missing, "damaged": self.broken, "unexpected": self.unexpected}
        return "; ".join(f"{len(names)} {kind} ({_some(names)})" for kind, names in kinds.items() if names)


def write(root: Path, settings: Settings) -> str:
    """Write manifest.csv and return its SHA-256. The pictures' hashes come from the records made with them."""
    rows = []
    for number in settings.numbers if not settings.crop_size else ():
        record = records.read(root, number)
        rows += zip(record["files"].tolist(), record["bytes"].tolist(), record["sha256"].tolist(), strict=True)
    subjects = {f"{number:05d}" for number in settings.numbers}
    for name in _files(root):
        if name.split("/")[0] not in subjects and name not in _APART:
            rows.append((name, (root / name).stat().st_size, _sha256(root / name)))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("file", "bytes", "sha256"), *sorted(rows)])
    content = text.getvalue().encode()
    with atomic(root / NAME) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def check(root: Path, jobs: int) -> Damage:
    """Compare every file of a finished data set with the manifest, and decode its pictures, in `jobs` threads.

    Raises BadInput if the set is not finished, or is of before there was a manifest.
    """
    if not (root / "studio.json").exists():
        raise BadInput(f"{root} holds no finished data set: the command that makes it goes on where it stopped.")
    wanted = read_json(root / "studio.json").get("manifest")
    if not wanted:
        raise BadInput(f"{root} has no manifest: an older version of the studio made it; make it again elsewhere.")
    if not (root / NAME).is_file():
        return Damage(missing=[NAME])
    content = (root / NAME).read_bytes()
    if hashlib.sha256(content).hexdigest() != wanted:
        return Damage(broken=[NAME])
    rows = {name: (int(size), digest) for name, size, digest in list(csv.reader(content.decode().splitlines()))[1:]}
    found = Damage(unexpected=sorted(set(_files(root)) - set(rows) - set(_APART)))
    with ThreadPoolExecutor(jobs) as pool:  # hashing and decoding let the others run
        states = pool.map(lambda row: _state(root / row[0], *row[1]), rows.items())
        for name, state in tqdm(zip(rows, states), "verify", len(rows), unit="file", ascii=True):
            if state:
                getattr(found, state).append(name)
    return found


def _state(file: Path, size: int, digest: str) -> str:
    try:
        if file.stat().st_size != size or _sha256(file) != digest:
            return "broken"
        if file.suffix == ".jpg" and cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR) is None:
            return "broken"
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "broken"
    return ""


def _files(root: Path) -> list[str]:
    """All files below a folder, but those of runs that are under way."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - {records.FOLDER})
        found += [(Path(folder) / name).relative_to(root).as_posix() for name in names]
    return [name for name in found if not Path(name).name.startswith(".") or ".tmp" not in name]


def _sha256(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
