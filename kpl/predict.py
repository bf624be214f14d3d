"""`python -m kpl.predict left.jpg middle.jpg right.jpg --out face.json --picture face.png`

The landmarks of a face from three pictures, taken from its left (the nose points to the right), its front and its right, or
from one; - stands for a missing one of three. As JSON, and drawn on the pictures.

In Python it is `kpl.predict(left, middle, right)`: the module itself can be called, so importing it hides nothing.
"""

import argparse
import sys
from pathlib import Path
from types import ModuleType

import matplotlib
import numpy as np

import kpl
from kpl.errors import BadInput
from kpl.files import atomic, writable, write_json
from kpl.landmarks import NAMES

DRAWN = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".svg", ".pdf")


class _Predict(ModuleType):
    def __call__(self, left=None, middle=None, right=None, weights: str | Path = "released"):
        """The face in three pictures, paths or arrays, or fewer: see kpl.released.predict."""
        return kpl.released.predict(left, middle, right, weights)


sys.modules[__name__].__class__ = _Predict


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m kpl.predict", description=__doc__.split("\n\n")[1])
    parser.add_argument("pictures", nargs="+", metavar="PICTURE", help="left middle right, or one alone")
    parser.add_argument("--out", metavar="JSON", help="file for landmarks, spread and points in the pictures")
    parser.add_argument("--picture", metavar="PNG", help="file for a drawing")
    parser.add_argument("--weights", default="released", help="folder of kpl.release; default: the package's")
    options = parser.parse_args(arguments)
    given = [None, *options.pictures, None] if len(options.pictures) == 1 else options.pictures
    places = {f"--{name}": file for name in ("out", "picture") if (file := getattr(options, name)) is not None}
    try:
        _refuse(places, given)
        found = kpl.predict(*(None if picture == "-" else picture for picture in given), options.weights)
        for warning in found.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        if "--picture" in places:
            matplotlib.use("Agg")  # into a file, on machines without a screen too
            figure = kpl.draw.found_face(found.crops, found.crop_points, found.landmarks, found.spread)
            with atomic(options.picture) as temporary:
                figure.savefig(temporary, dpi=110)
        if "--out" in places:
            write_json(options.out, as_json(found, kpl.released.load(options.weights).card))
    except (BadInput, OSError) as error:
        raise SystemExit(f"kpl.predict: {error}") from None
    print(f"106 landmarks, mean spread {found.spread.mean():.3f} (the eyes are about 0.75 apart)", end="; ")
    print(f"cameras at {', '.join(f'{yaw:.0f}' for yaw in found.yaw)} degrees", end="; ")
    print("written:", " and ".join(places.values()) or "nothing (--out, --picture)")


def _refuse(places: dict[str, str], given: list[str | None]) -> None:
    """Raise BadInput unless one or three pictures are given, and for a file that cannot be written, would replace one of
    them, or is no picture."""
    if len(given) != 3:
        raise BadInput(f"{len(given)} pictures are given: give one, or left, middle and right, with - for a missing one.")
    taken = {Path(file).resolve() for file in given if file}
    for option, file in places.items():
        if writable(file, option).resolve() in taken:
            raise BadInput(f"{option} {file} is one of the given pictures: name another file.")
    if "--picture" in places and Path(places["--picture"]).suffix.lower() not in DRAWN:
        raise BadInput(f"--picture {places['--picture']} must end in one of {' '.join(DRAWN)}.")


def as_json(found, card: dict) -> dict:
    """A kpl.released.Face as plain lists; what is unknown is null."""
    known = lambda values, digits: np.where(np.isfinite(values), values.round(digits), None).tolist()
    return {
        "frame": "x right in the upright middle picture, y up, z to the camera; eye centres about 0.75 apart",
        "names": list(NAMES),
        "landmarks": found.landmarks.round(6).tolist(),
        "spread": found.spread.round(6).tolist(),
        "points2d": known(found.points2d, 2),
        "cameras": {"yaw": known(found.yaw, 1), "pitch": known(found.pitch, 1), "residual": known(found.residual.mean(1), 2)},
        "turned_clockwise": found.turn,
        "taken_as_left_middle_right": list(found.order),
        "warnings": list(found.warnings),
        "networks": [entry["name"] for entry in card["networks"]],
    }


if __name__ == "__main__":
    main()
