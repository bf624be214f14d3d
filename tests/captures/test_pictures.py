import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from skimage import data

from kpl.captures import pictures
from kpl.faces import geometry


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    return Image.fromarray(data.astronaut()[:240, 100:420])


def encoded(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def read(folder, content: bytes) -> pictures.Picture:
    (folder / "t.jpg").write_bytes(content)
    return pictures.read(str(folder / "t.jpg"))


@pytest.mark.parametrize(
    "form, mode, options, tolerance",
    [
        ("JPEG", "RGB", {"quality": 95}, 6),
        ("JPEG", "RGB", {"quality": 95, "progressive": True}, 6),
        ("JPEG", "CMYK", {"quality": 95}, 6),
        ("PNG", "RGB", {}, 0),
        ("PNG", "RGBA", {}, 0),
        ("BMP", "RGB", {}, 0),
        ("TIFF", "RGB", {}, 0),
    ],
)
def test_every_kind_of_picture_is_read(photograph, tmp_path, form, mode, options, tolerance):
    picture = read(tmp_path, encoded(photograph.convert(mode), form, **options))
    expected = np.asarray(photograph).astype(int)
    assert picture.pixels.dtype == np.uint8 and picture.size == (320, 240)
    assert np.abs(picture.pixels - expected).mean() <= tolerance / 2
    assert np.abs(picture.pixels.mean((0, 1)) - expected.mean((0, 1))).max() <= tolerance / 3


def test_greys_of_any_depth(photograph, tmp_path):
    grey = photograph.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    for content in (encoded(grey, "PNG"), encoded(deep, "PNG"), encoded(grey, "JPEG", quality=100)):
        picture = read(tmp_path, content).pixels
        assert picture.shape == (240, 320, 3) and np.ptp(picture, axis=2).max() == 0
        assert np.abs(picture[..., 0] - np.asarray(grey).astype(int)).max() <= 3
    colours = np.asarray(photograph)[..., ::-1].astype(np.uint16) * 257  # three channels of 16 bits
    picture = read(tmp_path, cv2.imencode(".png", colours)[1].tobytes())
    np.testing.assert_array_equal(picture.pixels, photograph)


def test_what_cannot_be_used_is_said(photograph, tmp_path):
    jpeg, png, bmp = (encoded(photograph, form) for form in ("JPEG", "PNG", "BMP"))
    noise = np.random.default_rng(0).integers(0, 255, 200, dtype=np.uint8).tobytes()
    half = len(jpeg) // 2
    for content, reason in (
        (b"", "empty file"),
        (b"This is a letter, not a picture.", "no picture"),
        (jpeg[:300], "truncated"),
        (jpeg[:half], "truncated"),
        (jpeg[:half] + bytes(half), "truncated"),  # a download that stopped: the rest is zeros
        (jpeg[:half] + noise + jpeg[half + 200 :], "damaged"),
        (png[: len(png) // 2], "truncated"),
        (png[:-2000] + bytes(1000) + png[-1000:], "damaged"),
        (bmp[: len(bmp) // 2], "truncated"),
    ):
        with pytest.raises(pictures.Unusable, match=f"^{reason}"):
            read(tmp_path, content)
    for path in (None, str(tmp_path / "nowhere.jpg"), str(tmp_path)):
        with pytest.raises(pictures.Unusable, match="^missing$"):
            pictures.read(path)


def test_padding_is_no_damage(photograph, tmp_path):
    jpeg = encoded(photograph, "JPEG")
    whole = read(tmp_path, jpeg).pixels
    for padded in (jpeg + b"\0" * 100, jpeg[:-2] + b"\0\0\0" + jpeg[-2:]):
        np.testing.assert_array_equal(read(tmp_path, padded).pixels, whole)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_a_tag_turns_nothing_but_is_told_and_makes_what_a_viewer_shows(photograph, tmp_path, form, tag):
    exif = Image.Exif()
    exif[0x0112] = tag
    content = encoded(photograph, form, exif=exif, **({"lossless": True} if form == "WEBP" else {}))
    picture = read(tmp_path, content)
    if form != "TIFF":  # turned by the reader
        assert picture.exif == tag and picture.size == (320, 240)
        assert np.abs(picture.pixels - np.asarray(photograph).astype(int)).mean() < 3
    viewed = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))), int)
    assert np.abs(geometry.upright(picture.pixels, geometry.EXIF[picture.exif - 1]) - viewed).mean() < 1


def test_heic_is_read_the_first_of_several_frames_is_and_said(photograph, tmp_path):
    assert np.abs(read(tmp_path, encoded(photograph, "HEIF", quality=90)).pixels - np.asarray(photograph, int)).mean() < 4
    several = encoded(photograph, "TIFF", save_all=True, append_images=[photograph.rotate(90)])
    picture = read(tmp_path, several)
    np.testing.assert_array_equal(picture.pixels, photograph)
    assert picture.note == "the first of its 2 pictures"


def test_transparency_lies_over_grey(photograph, tmp_path):
    clear = photograph.convert("RGBA")
    clear.paste((0, 0, 0, 0), (0, 0, 100, 240))
    for content in (encoded(clear, "PNG"), encoded(clear.quantize(250), "PNG")):
        picture = read(tmp_path, content).pixels
        assert (picture[:, :90] == 128).all() and np.abs(picture[:, 110:] - np.asarray(photograph, int)[:, 110:]).mean() < 8


def test_twelve_bits_in_sixteen_are_scaled_by_their_own_range(photograph, tmp_path):
    deep = np.asarray(photograph).astype(np.uint16) * 16
    for form in (".png", ".tiff"):
        colours = read(tmp_path, cv2.imencode(form, deep[..., ::-1])[1].tobytes()).pixels
        assert np.abs(colours - np.asarray(photograph, int)).max() <= 1
        grey = read(tmp_path, cv2.imencode(form, deep[..., 1])[1].tobytes()).pixels
        assert np.abs(grey[..., 0] - np.asarray(photograph, int)[..., 1]).max() <= 1


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_huge_picture_is_read_reduced_and_a_monstrous_one_not_at_all(photograph, tmp_path, monkeypatch, form):
    monkeypatch.setattr(pictures, "WORKING_PIXELS", 20_000)
    picture = read(tmp_path, encoded(photograph, form))
    assert picture.pixels.shape == (120, 160, 3) and picture.size == (320, 240)
    small = cv2.resize(np.asarray(photograph), (160, 120), interpolation=cv2.INTER_AREA)
    assert np.abs(picture.pixels - small.astype(int)).mean() < 3
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 35_000)
    with pytest.raises(pictures.Unusable, match="too large"):
        read(tmp_path, encoded(photograph, form))
