"""Small captures with a real face, and what is compared of a store."""

from pathlib import Path

import cv2
import numpy as np
from skimage import data

from kpl.faces.geometry import LYING, Turn, upright

SIZE = 32
RECIPE = "centerface256"
FILES = ("crops.npy", "faces.csv", "targets.npz", "done.json")


def lying(picture: np.ndarray, turn: Turn = LYING) -> np.ndarray:
    """A picture that `turn` makes upright: undo kpl.faces.geometry.upright."""
    plain = cv2.flip(picture, 1) if turn.mirrored else picture
    return upright(plain, Turn(-turn.quarters % 4))


def photograph(seed: int, view: int) -> np.ndarray:
    """An upright 200 x 300 picture with a real face somewhere, other light and size by seed and view."""
    rng = np.random.default_rng([seed, view])
    face = cv2.resize(data.astronaut()[20:220, 130:330], None, fx=0.7, fy=0.7)
    picture = np.full((300, 200, 3), 90, np.uint8)
    x, y = rng.integers(10, 50), rng.integers(40, 60)
    picture[y : y + 140, x : x + 140] = (face * rng.uniform(0.7, 1.0)).astype(np.uint8)
    return picture


def save(path: Path, picture: np.ndarray) -> None:
    """Write an upright picture as the competition's cameras store it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), lying(picture)[..., ::-1])


def capture(root: Path, *samples: str) -> Path:
    """Captures of samples whose names begin with five digits."""
    for sample in samples:
        for view in range(3):
            save(root / sample / "Images" / str(view) / "t.png", photograph(int(sample[:5]), view))
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}
