"""Face crops without full frames: where the windows lie, and the store of faces that they make.

The windows are drawn as 01_preprocess would cut them from the full frames with the recipe centerface256. Measured
with CenterFace on 1,260 pictures at scale 0.4, and the same on 96 at full size: the window's side is 1.13 (+- 0.063) of
that of the smallest square around the landmarks, two thirds of its variance shared by a sample's three views, and its
centre strays from that square's by 0.021 across and 0.027 down, in the landmarks' sides.
"""

from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from kpl.captures import VIEWS
from kpl.faces import geometry
from kpl.faces.geometry import Square, moved
from kpl.faces.recipes import get
from kpl.faces.store import COLUMNS, NAMES
from kpl.files import atomic, checksum, write_json, write_npz
from kpl.landmarks import COUNT
from kpl.studio.dataset import records
from kpl.studio.dataset.settings import Settings
from kpl.studio.picture import camera
from kpl.studio.picture.camera import Window

_RATIO, _RATIO_SPREAD, _RATIO_SHARED = 1.13, 0.063, 0.66
_OFFSET_SPREAD = (0.021, 0.027)
_SAID = "turned by 90 degrees clockwise (the studio's frames lie on their side); sides as they are"


def draw_squares(rng: np.random.Generator, points: np.ndarray) -> list[Square]:
    """The squares that a detector would lead to, about landmarks (3, 106, 2) in upright full frames; whole pixels."""
    shared = rng.normal()
    squares = []
    for box in geometry.square_of_points(points):
        wide = np.sqrt(_RATIO_SHARED) * shared + np.sqrt(1 - _RATIO_SHARED) * rng.normal()
        side = box[2] - box[0]
        x, y = (box[:2] + box[2:]) / 2 + rng.normal(0, _OFFSET_SPREAD) * side
        squares.append(geometry.square_at(x, y, side * (_RATIO + _RATIO_SPREAD * wide)))
    return squares


def window(square: Square, size: int) -> Window:
    """The window of an upright full frame that shows a square as `size` x `size` pixels."""
    return Window.square(square.x, square.y, square.side, size)


def to_frame(square: Square, size: int) -> np.ndarray:
    """The map (3, 3) from a crop's lying pixels to those of the lying full frame."""
    zoom = square.side / size
    return np.array([[zoom, 0, square.y], [0, zoom, camera.WIDTH - square.x - square.side], [0, 0, 1]])


def to_crop_units(square: Square) -> np.ndarray:
    """The map (2, 3) from the lying full frame's pixels into the crop's units."""
    return geometry.joined(geometry.square_to_crop(square), geometry.to_upright(camera.HEIGHT, camera.WIDTH))


def decode(picture: np.ndarray) -> np.ndarray:
    """A lying JPEG file (bytes as uint8) as an upright crop (S, S, 3) uint8 RGB."""
    return geometry.upright(cv2.imdecode(picture, cv2.IMREAD_COLOR_RGB))


def write_store(root: Path, settings: Settings) -> None:
    """Write the face store of all records, as kpl.faces.load reads it; of test subjects without truth."""
    known = settings.subjects["train"] + settings.subjects["val"]
    samples, truth, points, squares, transforms = [], [], [], [], []
    digest = []
    header = {
        "descr": "|u1",
        "fortran_order": False,
        "shape": (settings.samples, len(VIEWS), settings.crop_size, settings.crop_size, 3),
    }
    with atomic(root / "crops.npy") as temporary, open(temporary, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for split, numbers in settings.subjects.items():
            for number in numbers:
                record = records.read(root, number)
                digest.append(record["sha256"].tolist())
                for i, name in enumerate(settings.expressions_of(number)):
                    samples.append((f"{number:05d}/{name}", f"{number:05d}", name, split))
                    truth.append(record["points"][i] if number in known else np.full((COUNT, 3), np.nan))
                    squares.append(record["squares"][i])
                    transforms.append([to_crop_units(Square(*square)) for square in squares[-1].tolist()])
                    flat = record["points2d"][i] if number in known else np.full((3, COUNT, 2), np.nan)
                    points.append([moved(matrix, view) for matrix, view in zip(transforms[-1], flat, strict=True)])
                    file.writelines(decode(picture) for picture in records.pictures(record, i))
    targets = {
        "points3d": np.array(truth),
        "points2d": np.array(points, np.float32),
        "transforms": np.array(transforms),
    }
    _write_tables(root, settings, samples, targets, np.array(squares), digest)


def _write_tables(
    root: Path,
    settings: Settings,
    samples: list[tuple],
    targets: dict[str, np.ndarray],
    squares: np.ndarray,
    digest: list,
) -> None:
    table = pd.DataFrame(samples, columns=NAMES).assign(outcome="ok")
    for view in VIEWS:
        x, y, side = squares[:, view].T
        values = ["ok", "", 1.0, np.nan, "", x, y, side, camera.WIDTH, camera.HEIGHT]
        table = table.assign(**{f"{name}{view}": value for name, value in zip(COLUMNS, values, strict=True)})
    with atomic(root / "faces.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    write_npz(root / "targets.npz", samples=table["sample"].to_numpy(str), **targets)
    counts = {
        "samples": len(table),
        "subjects": len(settings.numbers),
        "with_truth": int(np.isfinite(targets["points3d"]).all((1, 2)).sum()),
        "excluded_samples": 0,
        "ok": [len(table)] * 3,
        "fallback": [0] * 3,
        "excluded": [0] * 3,
    }
    parts = (root / "faces.csv").read_bytes(), digest, targets["points3d"].tobytes(), targets["points2d"].tobytes()
    write_json(
        root / "done.json",
        {
            # As other pictures are to be cut for its networks.
            "recipe": asdict(get("centerface256", settings.crop_size)),
            "orientation": _SAID,
            "turn": {"quarters": 1, "mirrored": False, "swapped": False},
            "counts": counts,
            "fingerprint": checksum(*parts),
        },
    )
