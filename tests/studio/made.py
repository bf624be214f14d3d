"""Data sets of the studio without its pictures: quick to make, the same every time."""

from pathlib import Path

import cv2
import numpy as np

from kpl.landmarks import MEAN_SHAPE
from kpl.studio import captures
from kpl.studio.dataset import records
from kpl.studio.dataset.settings import Settings
from kpl.studio.picture import camera


def picture(number: int, side: int = 16) -> bytes:
    """A small JPEG file."""
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def write_records(root: Path, settings: Settings, numbers: list[int]) -> None:
    """What the workers would write of these subjects, with noise for pictures and the mean shape for a face."""
    records.claim(root, captures.described(settings))
    for number in numbers:
        rng, names = np.random.default_rng(number), settings.expressions_of(number)
        count = len(names)
        known = {
            "points": MEAN_SHAPE + rng.normal(0, 0.01, (count, 106, 3)),
            "points2d": rng.uniform(600, 800, (count, 3, 106, 2)),
            "intrinsics": np.tile(np.eye(3), (count, 3, 1, 1)),
            "extrinsics": np.tile(np.eye(4)[:3], (count, 3, 1, 1)),
        }
        if settings.crop_size:
            squares = np.stack(
                [
                    rng.integers(0, camera.WIDTH, (count, 3)),
                    rng.integers(0, camera.HEIGHT, (count, 3)),
                    rng.integers(200, 400, (count, 3)),
                ],
                axis=-1,
            )
            contents = [picture(100 * number + i, settings.crop_size) for i in range(3 * count)]
            records.write_crops(root, number, contents, known | {"squares": squares})
        else:
            files = {
                f"{name}/Images/{view}/t.jpg": picture(100 * number + 3 * i + view)
                for i, name in enumerate(names)
                for view in range(3)
            }
            boxes = np.tile([10, 10, 20, 20], (count, 3, 1))
            records.write_frames(root, number, files, known | {"boxes": boxes})


def make(root: Path, settings: Settings) -> Path:
    """A finished data set."""
    write_records(root, settings, settings.numbers)
    assert captures.finish(root, settings)
    return root
