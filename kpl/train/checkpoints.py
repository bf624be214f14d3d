"""Checkpoints of a run: whole or not there, known to be sound by the checksum in their name, the last two kept.

checkpoints/<step>.<SHA-256, 16 digits>.pt    torch.save of tensors, numbers and text only, read with weights_only=True
"""

import hashlib
import io
import logging
from pathlib import Path
from typing import Any

import torch

from kpl.files import atomic

KEPT = 2


def save(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write the state after `step` steps into a run's folder; then older checkpoints than the last two go."""
    for left_over in (folder / "checkpoints").glob(".*.tmp.pt"):  # of a killed run
        left_over.unlink()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    file = folder / "checkpoints" / f"{step:09d}.{digest(content)}.pt"
    with atomic(file) as temporary:
        temporary.write_bytes(content)
    earlier = [other for other in files(folder) if other.name[:9] < file.name[:9]]
    # One of this step or a later one was damaged, or this run would not stand here.
    for other in {*files(folder)} - {file, *earlier[: KEPT - 1]}:
        other.unlink()


def newest(folder: Path) -> dict[str, Any] | None:
    """The state of the newest sound checkpoint of a run's folder, on the CPU; None without one. A damaged one is said
    and passed over."""
    for file in files(folder):
        try:
            content = file.read_bytes()
        except OSError:
            content = b""
        if digest(content) == file.name.split(".")[1]:
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        logging.getLogger("kpl").warning("%s is damaged: the checkpoint before it is used.", file)
    return None


def files(folder: Path) -> list[Path]:
    """A run's checkpoints, the newest first."""
    return sorted((folder / "checkpoints").glob("[0-9]*.pt"), reverse=True)


def digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
