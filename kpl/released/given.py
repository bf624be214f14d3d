"""What a caller may hand over as a picture, as an array."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from kpl.captures import pictures
from kpl.errors import BadInput
from kpl.faces.geometry import EXIF, upright

VIEWS = ("left", "middle", "right")


class Shown(NamedTuple):
    """A picture as a viewer shows it."""

    pixels: np.ndarray  # (H, W, 3) uint8 RGB
    stretch: np.ndarray  # (2,) from these pixels to those of the file, which differ where it is huge
    note: str = ""


def shown(given, view: str) -> Shown:
    """given: a path, a file's bytes, an open file, a Pillow image, or an array (H, W), (H, W, 3) RGB or (H, W, 4) RGBA, of
    8 bits, of 16 (scaled by its own largest value), or of floats from 0 to 1. Raises BadInput, which names the view."""
    if isinstance(given, str | Path):
        return _of_file(lambda: pictures.read(str(given)), f"the {view} picture, {given},")
    content = given.read() if hasattr(given, "read") else given
    if isinstance(content, bytes | bytearray):
        return _of_file(lambda: pictures.decoded(bytes(content)), f"the {view} picture")
    if isinstance(content, Image.Image):
        content = ImageOps.exif_transpose(content).convert("RGBA")
    return Shown(_of_array(np.asarray(content), view), np.ones(2))


def _of_file(read, what: str) -> Shown:
    try:
        picture = read()
    except pictures.Unusable as error:
        raise BadInput(f"{what} cannot be used ({error}): give another file.") from None
    turn, stretch = EXIF[picture.exif - 1], np.divide(picture.size, picture.pixels.shape[1::-1])
    stretch = stretch[::-1] if turn.quarters % 2 else stretch
    return Shown(np.ascontiguousarray(upright(picture.pixels, turn)), stretch, picture.note)


def _of_array(array: np.ndarray, view: str) -> np.ndarray:
    floats = array.dtype.kind == "f" and array.size > 0 and array.min() >= 0 and array.max() <= 1
    if array.shape[2:] not in ((), (3,), (4,)) or array.ndim < 2 or not array.size:
        wrong = f"shape {array.shape}"
    elif array.dtype not in (np.uint8, np.uint16) and not floats:
        wrong = f"type {array.dtype}" + (" and not from 0 to 1" if array.dtype.kind == "f" else "")
    else:
        eight = np.round(array * 255).astype(np.uint8) if floats else array
        eight = pictures.eight_bits(eight) if eight.dtype == np.uint16 else eight
        return np.ascontiguousarray(pictures.over_grey(Image.fromarray(eight)))
    raise BadInput(f"the {view} picture is an array of {wrong}: give (height, width, 3) uint8 in RGB, or a path.")
