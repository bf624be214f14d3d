"""Files that are either whole or not there."""

import ast
import errno
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from kpl.errors import BadInput


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed to `path`. Parents are made.

    The temporary name keeps the suffix (libraries choose their format by it) and carries the process id and some random
    letters, so that processes that write the same file, on two machines perhaps, do not mix their bytes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{os.urandom(4).hex()}.tmp{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def writable(path: str | Path, option: str) -> Path:
    """`path` if a file can be written there, which is tried in the nearest folder that exists and leaves nothing. Raises
    BadInput, which names the command line's `option`, if it cannot, or `path` is no name of a file."""
    place = Path(path)
    try:
        if place.exists() and not place.is_file():  # also "", which is the current folder
            raise BadInput(f"{option} is {str(path)!r}, where no file can be: name one.")
        with TemporaryFile(dir=next(parent for parent in place.absolute().parents if parent.exists())):
            return place
    except OSError as error:
        raise BadInput(f"{option} {path} cannot be written ({error.strerror}): choose another place.") from None


@contextmanager
def _reading(path: str | Path, fault: str, remedy: str = "delete it and run its stage again") -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise BadInput(f"{path} is missing: run the stage that writes it.") from None
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
        raise BadInput(f"{path} {fault} ({error}): {remedy}.") from None


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file, without the mark that Windows' editors put in front. Raises BadInput if there is none."""
    with _reading(path, "cannot be read as text", "save it as UTF-8"):
        return Path(path).read_text(encoding="utf-8-sig")


def read_json(path: str | Path) -> Any:
    """Read a JSON file. Raises BadInput if it is missing or damaged."""
    with _reading(path, "is not valid JSON"):
        return json.loads(Path(path).read_bytes())


def read_npz(path: str | Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The named arrays of an npz file, read without running code. Raises BadInput if one is missing or damaged."""
    with _reading(path, "is damaged"), np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in names}


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def write_npz(path: str | Path, **arrays: np.ndarray) -> None:
    """Write named arrays as one npz file, atomically."""
    with atomic(path) as temporary:
        np.savez(temporary, **arrays)


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table without its index, six digits behind the point, atomically."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f")


def checksum(*parts: Any) -> str:
    """A short SHA-256 of JSON-serialisable parts (and bytes): the same parts, the same text."""
    encoded = [part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode() for part in parts]
    return hashlib.sha256(b"".join(part + b"\0" for part in encoded)).hexdigest()[:16]


# A limit on the size of files ends a write like a full disk does; torch.save speaks in words of its own.
_NO_ROOM = [*map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)), "PytorchStreamWriter", "inline_container.cc"]


def no_room(error: BaseException | str) -> bool:
    """Whether an error, or its text, says that there was no room to write."""
    return any(words in str(error) for words in _NO_ROOM)


def code_checksum(*places: Path, sources: Sequence[str] = ()) -> str:
    """A checksum of what Python code does, that of folders, of `<place>.py`, and of source texts: comments, docstrings
    and layout do not count."""
    files = [file for place in places for file in sorted(place.rglob("*.py")) or [place.with_suffix(".py")]]
    trees = [ast.parse(source) for source in [*map(read_text, files), *sources]]
    for node in [node for tree in trees for node in ast.walk(tree)]:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return checksum(*map(ast.dump, trees))
