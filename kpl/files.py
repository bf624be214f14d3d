"""Files that are either whole or not there."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from kpl.errors import BadInput


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed to `path`.

    The temporary name keeps the suffix (libraries choose their format by it) and carries the process id and some
    random letters, so that two processes that write the same file, on two machines perhaps, do not mix
    their bytes. Parent folders are made.
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


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file. Raises BadInput if it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path} is missing: run the stage that writes it again.") from None
    except ValueError as error:
        raise BadInput(f"{path} is not valid JSON ({error}): delete it and run its stage again.") from None


def write_npz(path: str | Path, **arrays: np.ndarray) -> None:
    """Write named arrays as one npz file, atomically."""
    with atomic(path) as temporary:
        np.savez(temporary, **arrays)


def read_npz(path: str | Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Read the named arrays of an npz file, running no code. Raises BadInput if it, or an array, is missing or
    damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except FileNotFoundError:
        raise BadInput(f"{path} is missing: run the stage that writes it.") from None
    except (KeyError, ValueError, EOFError, BadZipFile) as error:
        raise BadInput(f"{path} is damaged ({error}): delete it and run its stage again.") from None


def checksum(*parts: Any) -> str:
    """A short SHA-256 of JSON-serialisable parts (and bytes): the same parts, the same text."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]
