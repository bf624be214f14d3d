"""How much disk a data set takes, told before it is made."""

import shutil
import sys
from pathlib import Path

from kpl.errors import BadInput
from kpl.studio.dataset.settings import Settings

# A lying JPEG file at scale 1, and how it grows: means of 51, 36, 36 and 36 pictures at scales 1, 0.4, 0.2 and 0.1 are
# 131, 24, 8 and 3 kB. To each comes half a block of the file system, and that of each of its folders.
_PICTURE, _GROWTH, _BLOCKS = 135_000, 1.87, 2_000 + 4_096
_CROP = 12_000 / 256**2  # bytes a pixel: 96 of 256 x 256 take 10 kB each
_KNOWN = 14_000  # bytes a sample in the files about the whole set, or in its record


def needed(settings: Settings, finished: set[int] = frozenset()) -> int:
    """Bytes that making all subjects but those `finished` will take, at its most."""
    left = sum(len(settings.expressions_of(number)) for number in settings.numbers if number not in finished)
    if settings.crop_size:  # the compressed crops stay until the store is complete
        pixels = settings.crop_size**2
        return round(left * (3 * _CROP * pixels + _KNOWN) + settings.samples * (9 * pixels + _KNOWN))
    return round(left * (3 * (_PICTURE * settings.scale**_GROWTH + _BLOCKS) + _KNOWN) + settings.samples * _KNOWN)


def tell(root: Path, settings: Settings, finished: set[int]) -> None:
    """Say on standard error what is going to be made. Raises BadInput if the disk has no room for it."""
    place = next(folder for folder in (root, *root.absolute().parents) if folder.is_dir())
    free, wanted = shutil.disk_usage(place).free, needed(settings, finished)
    said = f"about {_size(wanted)} of disk for {settings.samples} samples of {len(settings.numbers)} subjects"
    if wanted > free:
        raise BadInput(
            f"{root} needs {said}, and {_size(free)} are free: make room, choose another folder, or ask for fewer "
            "subjects or smaller pictures (--scale, --crop-size)."
        )
    print(f"kpl.studio: {said}; {_size(free)} are free.", file=sys.stderr)


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
