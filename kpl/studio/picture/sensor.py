"""What three cameras make of light: each sees colours and brightness a little differently, blurs and adds grain.

Blur and motion are in pixels of a full frame (scale 1), whatever the size of the picture; linear light 1 is where a
sensor's pixel is full.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import warp as wp
from scipy.ndimage import convolve

from kpl.studio.body.people import Subject
from kpl.studio.mesh.rays import array
from kpl.studio.picture.camera import Camera, Window

_TONES = wp.constant(2048)
_GRAIN = 512  # pixels: grain repeats after so many
_MID_GREY = 0.2
_SMALLEST_BLUR = 0.2  # pixels: less is not seen

wp.set_module_options({"enable_backward": False, "fast_math": True})


@dataclass(frozen=True)
class Sensor:
    """One camera in a subject's session: gain (3,) RGB: exposure and white balance; contrast of the tone curve;
    saturation; vignetting: the corners' loss of light; sharpness: the lens' blur (sigma); noise: its spread at mid
    grey; read_share: how much of its variance does not come from light; quality: of the JPEG file."""

    gain: np.ndarray
    contrast: float
    saturation: float
    vignetting: float
    sharpness: float
    noise: float
    read_share: float
    quality: int


@dataclass(frozen=True)
class Take:
    """One sample's accidents: gain of all cameras (auto exposure), motion (3,) of the head during the exposure (dm),
    defocus (3,): blur of the face in each view (sigma), seed of each view's grain (3,)."""

    gain: float
    motion: np.ndarray
    defocus: np.ndarray
    seeds: np.ndarray


def draw_sensors(subject: Subject) -> tuple[list[Sensor], float]:
    """The subject's three cameras (views 0, 1, 2), alike but not equal, and how much more than the face they blur what
    lies behind it (sigma)."""
    rng = subject.generator("camera")
    exposure, balance = rng.uniform(0.75, 1.15), 1 + rng.normal(0, 0.025, 3)
    contrast, saturation, noise = rng.uniform(0.92, 1.12), rng.uniform(0.85, 1.12), rng.uniform(0.004, 0.014)
    vignetting, read_share, quality = rng.uniform(0, 0.3), rng.uniform(0.05, 0.25), int(rng.integers(75, 97))
    sensors = [
        Sensor(
            gain=exposure * np.exp(rng.normal(0, 0.06)) * balance * (1 + rng.normal(0, 0.02, 3)),
            contrast=contrast * (1 + rng.normal(0, 0.03)),
            saturation=saturation * (1 + rng.normal(0, 0.05)),
            vignetting=vignetting * rng.uniform(0.8, 1.2),
            sharpness=rng.uniform(0.35, 0.8),
            noise=noise * rng.uniform(0.9, 1.1),
            read_share=read_share,
            quality=quality,
        )
        for _ in range(3)
    ]
    return sensors, rng.uniform(0.5, 4.0)


def draw_take(subject: Subject, expression: str) -> Take:
    """One sample's motion, focus and grain: one in ten moves visibly, one view in eight is a little out of focus."""
    rng = subject.generator("take", expression)
    length = rng.uniform(0.012, 0.04) if rng.random() < 0.10 else rng.exponential(0.0015)
    direction = rng.normal(size=3)
    defocus = np.where(rng.random(3) < 0.12, rng.uniform(0.8, 1.8, 3), rng.uniform(0, 0.3, 3))
    return Take(
        gain=float(np.exp(rng.normal(0, 0.02))),
        motion=direction / np.linalg.norm(direction) * length,
        defocus=defocus,
        seeds=rng.integers(1 << 30, size=3),
    )


def streak(camera: Camera, place: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """How far (2,) something at `place` (3,) moves in the camera's picture, in its pixels, while it moves by `motion`
    (3,) dm."""
    return camera.project(place + motion / 2) - camera.project(place - motion / 2)


def blurred(picture: np.ndarray, sigma: float, streak: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) out of focus (sigma) and moved along `streak` (2,), all in pixels; points stay where they are
    on average."""
    reach = int(np.ceil(np.abs(streak).max() / 2))
    if reach > 0 and np.linalg.norm(streak) > 1.0:
        fine, middle = 8, (reach + 0.5) * 8 - 0.5  # drawn eight times as fine, then averaged
        line = np.zeros(((2 * reach + 1) * fine,) * 2, np.float32)
        ends = [np.round((middle + sign * streak * fine / 2) * 16).astype(int) for sign in (-1, 1)]
        cv2.line(line, ends[0].tolist(), ends[1].tolist(), 1.0, fine, cv2.LINE_AA, 4)
        kernel = cv2.resize(line, (2 * reach + 1,) * 2, interpolation=cv2.INTER_AREA)
        kernel += kernel[::-1, ::-1]  # exactly centred: landmarks stay true
        picture = cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    if sigma > _SMALLEST_BLUR:
        size = 2 * int(np.ceil(2.5 * sigma)) + 1
        picture = cv2.GaussianBlur(picture, (size, size), sigma)
    return picture


@cache
def grain(device: str = "cpu") -> wp.array:
    """Noise (512, 512, 3) of spread 1 that can be laid side by side, as a colour filter array leaves it behind: grown
    from one value a pixel of the pattern RGGB, so that it is blotchy, in red and blue more than in green."""
    raw = np.random.default_rng(5).standard_normal((_GRAIN, _GRAIN)).astype(np.float32)
    red, blue = np.zeros((2, _GRAIN, _GRAIN), np.float32)
    red[::2, ::2], blue[1::2, 1::2] = raw[::2, ::2], raw[1::2, 1::2]
    around = np.outer([1, 2, 1], [1, 2, 1]) / 4
    cross = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
    laid = ((red, around), (raw - red - blue, cross), (blue, around))
    channels = [convolve(picture.astype(float), weights, mode="wrap") for picture, weights in laid]
    return array(np.stack([channel / channel.std() for channel in channels], axis=-1), wp.vec3, device)


def tone_curve(contrast: float) -> np.ndarray:
    """Pixel values (2048,) uint8 of linear light 0..1, by its square root: a shoulder, the curve of sRGB, contrast."""
    light = np.linspace(0, 1, 2048) ** 2
    light = light * 1.25 / (1 + light * 0.25)
    level = np.where(light < 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (np.clip((level - 0.5) * contrast + 0.5, 0, 1) * 255 + 0.5).astype(np.uint8)


@wp.func
def _grain_at(grain: wp.array2d(dtype=wp.vec3), x: float, y: float) -> wp.vec3:
    column = int(wp.floor(x))
    row = int(wp.floor(y))
    fx = x - float(column)
    fy = y - float(row)
    r = row % grain.shape[0]
    c = column % grain.shape[1]
    if fx == 0.0 and fy == 0.0:
        return grain[r, c]
    r1 = (r + 1) % grain.shape[0]
    c1 = (c + 1) % grain.shape[1]
    above = grain[r, c] * (1.0 - fx) + grain[r, c1] * fx
    below = grain[r1, c] * (1.0 - fx) + grain[r1, c1] * fx
    return above * (1.0 - fy) + below * fy


@wp.kernel
def expose(
    light: wp.array2d(dtype=wp.vec3),
    corner: wp.vec2,
    pixel: float,
    middle: wp.vec2,
    gain: wp.vec3,
    vignetting: float,
    saturation: float,
    variance: wp.vec2,
    grain: wp.array2d(dtype=wp.vec3),
    offset: wp.vec2,
    tones: wp.array(dtype=wp.uint8),
    pixels: wp.array3d(dtype=wp.uint8),
):
    """Linear light to pixel values, BGR. `corner` and `pixel` say where a pixel's middle lies in the full frame, for
    vignetting and grain; `variance`: of the noise, without light and for each unit of light."""
    row, column = wp.tid()
    x = corner[0] + (float(column) + 0.5) * pixel
    y = corner[1] + (float(row) + 0.5) * pixel
    away = wp.vec2(x, y) - middle
    color = wp.cw_mul(light[row, column], gain) * (1.0 - vignetting * wp.dot(away, away) / wp.dot(middle, middle))
    grey = 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2]
    color = wp.vec3(grey, grey, grey) * (1.0 - saturation) + color * saturation
    noise = _grain_at(grain, x - 0.5 + offset[0], y - 0.5 + offset[1])
    for k in range(3):
        value = color[k] + noise[k] * wp.sqrt(variance[0] + variance[1] * wp.max(color[k], 0.0))
        tone = int(wp.sqrt(wp.clamp(value, 0.0, 1.0)) * float(_TONES - 1) + 0.5)
        pixels[row, column, 2 - k] = tones[tone]


def develop(
    light: np.ndarray,
    sensor: Sensor,
    gain: float,
    seed: int,
    frame: tuple[int, int],
    window: Window,
    device: str = "cpu",
) -> bytes:
    """The JPEG file, lying, that a sensor makes of linear light (H, W, 3) RGB: what `window` shows of the upright
    `frame` (width, height)."""
    pixels = pixel_values(light, sensor, gain, seed, frame, window, device)
    lying = cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE)
    _, encoded = cv2.imencode(".jpg", lying, [cv2.IMWRITE_JPEG_QUALITY, sensor.quality])
    return encoded.tobytes()


def pixel_values(
    light: np.ndarray, sensor: Sensor, gain: float, seed: int, frame: tuple[int, int], window: Window, device: str
) -> np.ndarray:
    """The upright picture (H, W, 3) uint8 BGR; arguments as of `develop`."""
    pixels = wp.empty((*light.shape[:2], 3), dtype=wp.uint8, device=device)
    offset = np.random.default_rng(seed).integers(_GRAIN, size=2)
    at_mid_grey = sensor.noise**2
    inputs = [
        array(light, wp.vec3, device),
        wp.vec2(window.left, window.top),
        1.0 / window.zoom,
        wp.vec2(frame[0] / 2, frame[1] / 2),
        wp.vec3(*map(float, sensor.gain * gain)),
        sensor.vignetting,
        sensor.saturation,
        wp.vec2(at_mid_grey * sensor.read_share, at_mid_grey * (1 - sensor.read_share) / _MID_GREY),
        grain(device),
        wp.vec2(*map(float, offset)),
        array(tone_curve(sensor.contrast), wp.uint8, device),
        pixels,
    ]
    wp.launch(expose, light.shape[:2], inputs, device=device)
    return pixels.numpy()
