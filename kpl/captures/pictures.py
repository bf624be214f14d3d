"""Picture files as arrays, whatever comes: each is read whole, or said to be unusable with the reason.

JPEG files are decoded by simplejpeg (libjpeg-turbo), which tells what others hide: that a file ends too early or its
data are damaged, where they fill with grey. Colours of 16 bits are decoded by OpenCV, all other files by Pillow, HEIC with
pillow-heif. More than 8 bits are scaled by the picture's own brightest value, transparency lies over grey.
"""

import io
import math
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import simplejpeg
from PIL import Image

# A picture of more pixels is read at 1/2, 1/4 or 1/8 of its size, so that a worker's memory stays small: these are
# 100 MB. One of more than 2**28 is not opened at all, since a file of some kilobytes can claim any size.
WORKING_PIXELS = 2**25
Image.MAX_IMAGE_PIXELS = 2**27  # Pillow warns from here on, and refuses twice as many
pillow_heif.register_heif_opener()

_HARMLESS = "extraneous bytes before marker"  # libjpeg's word for padding that some cameras write
_GREY = (128, 128, 128, 255)


class Unusable(Exception):
    """A picture that cannot be used; the text is the reason, in a few words."""


@dataclass(frozen=True)
class Picture:
    """A picture as it is stored: an EXIF tag does not turn it, since points and boxes are given in stored pixels."""

    pixels: np.ndarray  # (H, W, 3) uint8 RGB
    size: tuple[int, int]  # width and height as stored, which `pixels` has too unless the picture is huge
    exif: int = 1  # the orientation that its EXIF tag asks for, 1 to 8
    note: str = ""  # what else should be known


def read(path: str | None) -> Picture:
    """Read a picture file. Raises Unusable: missing, empty, no picture, truncated, damaged, or too large."""
    if path is None or not os.path.isfile(path):
        raise Unusable("missing")
    try:
        return decoded(Path(path).read_bytes())
    except OSError as error:
        raise Unusable(f"damaged ({error})") from None


def decoded(data: bytes) -> Picture:
    """The picture that a file holds. Raises as `read` does."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            is_jpeg, pixels_of_it = data.startswith(b"\xff\xd8"), math.prod(image.size)
            shrink = next(shrink for shrink in (1, 2, 4, 8) if pixels_of_it <= WORKING_PIXELS * shrink**2)
            frames = 1 if is_jpeg else getattr(image, "n_frames", 1)
            plain = is_jpeg and image.mode != "CMYK"
            pixels = _jpeg(data, image.size, shrink) if plain else np.asarray(_rgb(image, data).reduce(shrink))
            exif = image.getexif().get(0x0112, 1)  # now: Pillow turns TIFF and HEIC while it reads them
            note = f"the first of its {frames} pictures" if frames > 1 else ""
            return Picture(pixels, image.size, exif if exif in range(1, 9) else 1, note)
    except Image.UnidentifiedImageError:
        raise Unusable("no picture" if data else "empty file") from None
    except Image.DecompressionBombError:
        raise Unusable("too large") from None
    except (OSError, SyntaxError, ValueError, cv2.error) as error:  # what the readers raise for damaged files
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


def _rgb(image: Image.Image, data: bytes) -> Image.Image:
    """Any mode in 8 bits."""
    bits = data[24] if image.format == "PNG" else max(getattr(image, "tag_v2", {}).get(258, (8,)))
    if bits > 8 or image.mode[0] in "IF":
        image = Image.fromarray(eight_bits(_deep(data) if image.mode[0] not in "IF" else np.asarray(image)))
    return over_grey(image)


def over_grey(image: Image.Image) -> Image.Image:
    """Any mode of 8 bits as RGB, what is transparent over grey."""
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, _GREY), image.convert("RGBA"))
    return image.convert("RGB")


def _deep(data: bytes) -> np.ndarray:
    """Colours (H, W, 3) as they are stored, where Pillow would drop their lower bits."""
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[..., :3], cv2.COLOR_BGR2RGB)


def eight_bits(values: np.ndarray) -> np.ndarray:
    """Values of any range, from 0 up to their own largest, as 0..255."""
    return np.round(np.clip(values / max(float(np.max(values)), 1e-12), 0, 1) * 255).astype(np.uint8)
