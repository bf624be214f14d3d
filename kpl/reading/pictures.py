"""Picture files as arrays, whatever comes: each is read whole, or said to be unusable with the reason.

JPEG files are read by simplejpeg (libjpeg-turbo), which tells what OpenCV hides: that a file ends too early or its data
are damaged, where OpenCV fills with grey. All other formats, and JPEG files in CMYK, are read by Pillow.
"""

import io
import os
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from PIL import Image

# A picture of more pixels is read at 1/2, 1/4 or 1/8 of its size, so that a worker's memory stays small: 2**25 are
# 100 MB. One of more than MOST_PIXELS is not opened at all: a file of some kilobytes can claim any size.
WORKING_PIXELS = 2**25
MOST_PIXELS = 2**28

Image.MAX_IMAGE_PIXELS = MOST_PIXELS  # Pillow's own limit would warn of half of it

_HARMLESS = "extraneous bytes before marker"  # libjpeg's word for padding that some cameras write


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
    with open(path, "rb") as file:
        data = file.read()
    if not data:
        raise Unusable("empty file")
    is_jpeg = data[:2] == b"\xff\xd8"
    pixels, size = _jpeg(data) if is_jpeg else _other(data)
    return Picture(pixels, size, _exif_quarters(data) if is_jpeg and b"Exif\0" in data[:4096] else 0)


def _jpeg(data: bytes) -> tuple[np.ndarray, tuple[int, int]]:
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError):  # the latter for headers that end too early
        raise Unusable("no picture") from None
    shrink = _shrink(width, height)
    if colours in ("CMYK", "YCCK"):
        return _other(data)
    options = {"min_height": -(-height // shrink), "min_width": -(-width // shrink)} if shrink > 1 else {}
    try:
        return simplejpeg.decode_jpeg(data, "RGB", **options), (width, height)
    except ValueError as error:
        if _HARMLESS in str(error):
            return simplejpeg.decode_jpeg(data, "RGB", strict=False, **options), (width, height)
        early = "premature end of jpeg" in str(error).lower()
        raise Unusable("truncated" if early else f"damaged ({error})") from None


def _other(data: bytes) -> tuple[np.ndarray, tuple[int, int]]:
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            shrink = _shrink(width, height)
            image.load()
            pixels = _rgb(image)
    except Image.UnidentifiedImageError:
        raise Unusable("no picture") from None
    except Image.DecompressionBombError:
        raise Unusable(_too_large()) from None
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow's readers raise for damaged files
        raise Unusable("truncated" if "truncated" in str(error) else f"damaged ({error})") from None
    if shrink > 1:
        pixels = cv2.resize(pixels, (-(-width // shrink), -(-height // shrink)), interpolation=cv2.INTER_AREA)
    return pixels, (width, height)


def _rgb(image: Image.Image) -> np.ndarray:
    """Any mode as (H, W, 3) uint8. Greys of 16 and 32 bits keep their most significant bits; transparency is
    dropped."""
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.asarray(image).astype(np.float64)
        top = 255 if grey.max() <= 255 else max(grey.max(), 65535)
        return np.repeat((grey.clip(0) * 255 / top).astype(np.uint8)[..., None], 3, axis=2)
    return np.asarray(image.convert("RGB"))


def _shrink(width: int, height: int) -> int:
    if width * height > MOST_PIXELS:
        raise Unusable(_too_large())
    return next(shrink for shrink in (1, 2, 4, 8) if width * height <= WORKING_PIXELS * shrink**2)


def _too_large() -> str:
    return f"larger than {MOST_PIXELS / 1e6:.0f} megapixels"


def _exif_quarters(data: bytes) -> int:
    """The tag's quarter turns clockwise; the tag's mirrorings are not heeded."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return {3: 2, 4: 2, 5: 3, 6: 1, 7: 1, 8: 3}.get(image.getexif().get(0x0112), 0)
    except (OSError, SyntaxError, ValueError):
        return 0
