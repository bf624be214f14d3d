"""The folders of a data set: which samples they hold, what those are called, and whose they are."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from kpl.errors import BadInput

VIEWS = (0, 1, 2)
TYPES = "jpg jpeg png bmp jfif webp tif tiff heic heif".split()  # of several pictures in one place the first of these
_SIDES = {"0": 0, "left": 0, "1": 1, "middle": 1, "2": 2, "right": 2}
_SIDE = f"({'|'.join(_SIDES)})"
# Where a picture lies: <sample>/<side>/..., perhaps with Images between them, <sample>/<side>.jpg or <sample>_<side>.jpg.
_PICTURE = re.compile(
    rf"(.+?)(?:(?:/images)?/{_SIDE}/[^/]+|/{_SIDE}|_{_SIDE})\.(?:{'|'.join(TYPES)})", re.IGNORECASE | re.DOTALL
)
_SCAN = re.compile(r"(.+?)/fusion/gt\.mat", re.IGNORECASE | re.DOTALL)
_UNFIT = re.compile(r"[\s\ufeff]")  # a submission is split at white space, and begins with its first sample's name


@dataclass
class Sample:
    folder: Path
    pictures: dict[int, str] = field(default_factory=dict)  # by view
    scan: str = ""


def place(path: str) -> tuple[str, int] | None:
    """The sample and the view that the place of a picture stands for; None if it stands for none.

    >>> place("00133/06/Images/0/t.jpg"), place("anna/right.png"), place("anna_1.jpg"), place("anna/me.jpg")
    (('00133/06', 0), ('anna', 2), ('anna', 1), None)
    """
    match = _PICTURE.fullmatch(path)
    return (match[1], _SIDES[next(filter(None, match.groups()[1:])).lower()]) if match else None


def walk(root: Path) -> dict[str, Sample]:
    """All samples below `root` by name. Raises BadInput where `root` is not the folder of their subjects, a name is no
    text, or two folders would have the same."""
    found: dict[str, Sample] = {}
    for file in files(root):
        path = f"{root.name}/{file}"
        owner, view = place(path) or ((scan[1], None) if (scan := _SCAN.fullmatch(path)) else ("", None))
        if not owner:
            continue
        folder = root.parent / owner
        sample = found.setdefault(name := _name(root, folder), Sample(folder))
        if sample.folder != folder:
            raise BadInput(f"{sample.folder} and {folder} would both be the sample {name}: rename one of them.")
        if view is None:
            sample.scan = sample.scan or str(root / file)
        else:
            sample.pictures.setdefault(view, str(root / file))
    # A lone anna_1.jpg, with no anna_0 and no anna_2, is some other picture.
    lone = lambda sample: len(sample.pictures) == 1 and not sample.folder.is_dir()
    return {name: sample for name, sample in found.items() if not lone(sample)}


def files(root: Path) -> Iterator[str]:
    """All files below `root`, relative to it, with '/'. Links are followed, but not into a folder that they lie in."""
    for folder, folders, names in os.walk(root, followlinks=True):
        inside = Path(folder).relative_to(root)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")) and not _cycle(folder, name))
        yield from ((inside / name).as_posix() for name in sorted(names, key=_rank))


def _cycle(folder: str, name: str) -> bool:
    path = os.path.join(folder, name)
    return os.path.islink(path) and f"{os.path.realpath(folder)}/".startswith(f"{os.path.realpath(path)}/")


def _rank(file: str) -> tuple[bool, int, str]:
    stem, _, kind = file.lower().rpartition(".")
    return stem != "t", TYPES.index(kind) if kind in TYPES else len(TYPES), file


def _name(root: Path, folder: Path) -> str:
    inside = folder.relative_to(root).parts if folder.is_relative_to(root) else ()
    if not 1 <= len(inside) <= 2:
        better = folder.parents[1] if inside else "the folder above it"
        raise BadInput(f"{folder} looks like a sample, but {root} is not the folder of its subjects: give {better}.")
    name = "/".join(inside)
    if name.encode(errors="replace").decode() != name:
        raise BadInput(f"the name of the folder {str(folder)!r} is not UTF-8: rename it.")
    return one_word(name)


def one_word(name: str) -> str:
    """A name as the submission's format can hold it: white space is percent-encoded, all else stays.

    It depends on nothing but the name, so that folders, lists and truth still join, and comes out of a word unchanged.

    >>> one_word("john doe/01"), one_word("john%20doe/01")
    ('john%20doe/01', 'john%20doe/01')
    """
    return _UNFIT.sub(lambda character: quote(character[0]), name)


def subject_expression(sample: str) -> tuple[str, str]:
    """Whose face a sample shows, and its expression: split at the '/', or for a single folder at the first '_'.

    >>> subject_expression("00133/06"), subject_expression("00133_06"), subject_expression("john_doe/01")
    (('00133', '06'), ('00133', '06'), ('john_doe', '01'))
    """
    subject, _, expression = sample.partition("/" if "/" in sample else "_")
    return (subject, expression) if subject else (sample, "")
