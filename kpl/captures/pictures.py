"""Picture files as arrays, whatever comes: each is read whole, or said to be unusable with the reason.

JPEG files are decoded by simplejpeg (libjpeg-turbo), which tells what others hide: that a file ends too early or its
data are damaged, where they fill with grey. All other formats, and JPEG files in CMYK, are decoded by Pillow.
"""

import io
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

# A picture of more pixels is read at 1/2, 1/4 or 1/8 of its size, so that a worker's memory stays small: these are
# 100 MB. One of more than 2**28 is not opened at all, since a file of some kilobytes can claim any size.
WORKING_PIXELS = 2**25
Image.MAX_IMAGE_PIXELS = 2**27  # Pillow warns from here on, and refuses twice as many

_HARMLESS = "extraneous bytes before marker"  # libjpeg's word for padding that some cameras write
_QUARTERS = {3: 2, 4: 2, 5: 3, 6: 1, 7: 1, 8: 3}  # of EXIF's orientations; their mirrorings are not heeded


class Unusable(Exception):
    """A picture that cannot be used; the text is the reason, in a few words."""


@dataclass(frozen=True)
class Picture:
    """A picture as it is stored: an EXIF tag does not turn it, since points and boxes are given in stored pixels."""

    pixels: np.ndarray  # (H, W, 3) uint8 RGB
    size: tuple[int, int]  # width and height as stored, which `pixels` has too unless the picture is huge
    exif_quarters: int  # quarter turns clockwise that its EXIF tag asks for, 0 without a tag


def read(path: str | None) -> Picture:
    """Read a picture file. Raises Unusable: missing, empty, no picture, truncated, damaged, or too large."""
    if path is None or not os.path.isfile(path):
        raise Unusable("missing")
    try:
        data = Path(path).read_bytes()
        is_jpeg = data.startswith(b"\xff\xd8")
        with Image.open(io.BytesIO(data)) as image:
            size = image.size
            shrink = next(shrink for shrink in (1, 2, 4, 8) if math.prod(size) <= WORKING_PIXELS * shrink**2)
            quarters = _QUARTERS.get(image.getexif().get(0x0112), 0) if is_jpeg else 0
            plain = is_jpeg and image.mode != "CMYK"
            pixels = _jpeg(data, size, shrink) if plain else np.asarray(_rgb(image).reduce(shrink))
            return Picture(pixels, size, quarters)
    except Image.UnidentifiedImageError:
        raise Unusable("no picture" if data else "empty file") from None
    except Image.DecompressionBombError:
        raise Unusable("too large") from None
    except (OSError, SyntaxError, ValueError) as error:  # what the readers raise for damaged files
        early = any(word in str(error).lower() for word in ("truncated", "premature end of jpeg"))
        raise Unusable("truncated" if early else f"damaged ({error})") from None


def _jpeg(data: bytes, size: tuple[int, int], shrink: int) -> np.ndarray:
    least = {"min_width": -(-size[0] // shrink), "min_height": -(-size[1] // shrink)} if shrink > 1 else {}
    try:
        return simplejpeg.decode_jpeg(data, "RGB", **least)
    except ValueError as error:
        if _HARMLESS not in str(error):
            raise
        return simplejpeg.decode_jpeg(data, "RGB", strict=False, **least)


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode in 8 bits: greys of 16 keep their upper half, transparency is dropped."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")
