"""The disk below the output folder: can it be written to, is it full, and how to say so."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

# What the writers of our files (Python, papermill, numpy, torch, safetensors) say when there is no room. A limit on
# the size of files ends a write like a full disk does.
NO_ROOM = [os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)] + [
    "PytorchStreamWriter failed writing",
    "inline_container.cc",  # torch.save again, when the room ends between two of its writes
]


def is_full(sentence: str) -> bool:
    """Whether an error's text says that there was no room to write."""
    return any(text in sentence for text in NO_ROOM)


def state(folder: Path) -> str:
    """The disk that holds `folder`, in words: its mount point and its free space."""
    mount = folder.resolve()
    while not os.path.ismount(mount):
        mount = mount.parent
    usage = shutil.disk_usage(mount)
    return f"the disk at {mount} has {size(usage.free)} of {size(usage.total)} free"


def size(count: float) -> str:
    """Bytes in words: '12.0 MB'."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            break
        count /= 1000
    else:
        unit = "TB"
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"


def why_unwritable(folder: Path) -> str:
    """Make `folder` and write a megabyte there for a moment; one sentence if that cannot be done, else ""."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1_000_000))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if is_full(str(error)):
            return f"{folder} cannot be written to ({error.strerror}): {state(existing(folder))}; make room."
        return f"{folder} cannot be written to ({error.strerror}): name another folder with --output."
    return ""


def existing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    return folder if folder.exists() else existing(folder.parent)
