"""The anatomy's file: building takes some seconds, so it is done once and kept."""

from dataclasses import fields
from pathlib import Path

from kpl.errors import BadInput
from kpl.files import checksum, read_npz, write_npz
from kpl.studio.body import makehuman, reference
from kpl.studio.body.anatomy import Anatomy
from kpl.studio.mesh import parts


def load(cache: Path) -> Anatomy:
    """The anatomy from its file in `cache`, built first (some seconds) where this version has none yet,
    or a damaged one."""
    path = cache / f"anatomy_{fingerprint()}.npz"
    names = tuple(field.name for field in fields(Anatomy))
    if path.exists():
        try:
            return Anatomy(**read_npz(path, names))
        except BadInput:  # damaged: it is built again
            pass
    built = reference.build()
    write_npz(path, **{name: getattr(built, name) for name in names})
    return Anatomy(**read_npz(path, names))


def fingerprint() -> str:
    """A short text that changes with anny's version and with the code and data that the anatomy is made
    from."""
    rooms = (Path(__file__).parent, Path(parts.__file__).parent)
    files = sorted(file for room in rooms for file in room.iterdir() if file.suffix in (".py", ".json"))
    return f"{makehuman.version()}_{checksum(*(file.read_bytes() for file in files))}"
