"""The folders of a data set: which samples they hold, what those are called, and whose they are."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from kpl.errors import BadInput

VIEWS = (0, 1, 2)
_PICTURES = ("t.jpg", "t.jpeg", "t.png", "t.bmp")  # the first of these is taken where there are several
_WANTED = {"0": _PICTURES, "1": _PICTURES, "2": _PICTURES, "fusion": ("gt.mat",)}  # by the folder it lies in
_UNFIT = re.compile(r"[\s\ufeff]")  # a submission is split at white space, and begins with its first sample's name


@dataclass
class Sample:
    folder: Path
    files: dict[str, str] = field(default_factory=dict)  # by the folder they lie in: 0, 1, 2 and fusion


def walk(root: Path) -> dict[str, Sample]:
    """All samples below `root` by name. Raises BadInput where `root` is not the folder of their subjects, a name is no
    text, or two folders would have the same."""
    found: dict[str, Sample] = {}
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        here, kind = Path(folder), Path(folder).name.lower()
        there = {name.lower(): name for name in sorted(files, reverse=True)}
        file = next((there[name] for name in _WANTED.get(kind, ()) if name in there), None)
        if file is None or here == root:
            continue
        owner = here.parents[1] if here.parent.name.lower() == "images" else here.parent
        sample = found.setdefault(name := _name(root, owner), Sample(owner))
        if sample.folder != owner:
            raise BadInput(f"{sample.folder} and {owner} would both be the sample {name}: rename one of them.")
        sample.files.setdefault(kind, str(here / file))
    return found


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
