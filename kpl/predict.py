"""`python -m kpl.predict left.jpg middle.jpg right.jpg --out face.json --picture face.png`

The landmarks of a face from three pictures, as JSON, and drawn on them. A command only: in Python it is
`kpl.predict(...)`.
"""

import argparse
import sys
import time
from pathlib import Path

from kpl.errors import BadInput


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kpl.predict", description=__doc__.split("\n\n")[1])
    for view, nose in (("left", "the nose points to the right"), ("middle", "frontal"), ("right", "to the left")):
        parser.add_argument(view, type=Path, help=f"picture taken from the {view}: {nose}")
    parser.add_argument(
        "--out", type=Path, metavar="JSON", help="file for landmarks, spread and points in the pictures"
    )
    parser.add_argument("--picture", type=Path, metavar="PNG", help="file for a drawing")
    parser.add_argument(
        "--weights", default="released", metavar="FOLDER", help="of kpl.release; default: the package's"
    )
    options = parser.parse_args(arguments)

    from kpl import ensemble, face
    from kpl.files import write_json

    try:
        networks = ensemble.load(options.weights)
        started = time.perf_counter()
        found = face.predict(options.left, options.middle, options.right, options.weights)
        seconds = time.perf_counter() - started
        if options.out:
            write_json(options.out, as_json(found, networks.card))
        if options.picture:
            draw(found, options.picture)
    except BadInput as error:
        print(f"kpl.predict: {error}", file=sys.stderr)
        return 1
    written = " and ".join(str(file) for file in (options.out, options.picture) if file) or "nothing (--out, --picture)"
    print(
        f"106 landmarks in {seconds:.2f} s, mean spread {found.spread.mean():.3f} "
        f"(the eyes are about 0.75 apart); written: {written}"
    )
    return 0


def as_json(found, card: dict) -> dict:
    """The answer as plain lists; unknown places in pictures are null."""
    import numpy as np

    from kpl.landmarks import NAMES

    def rounded(array: np.ndarray, digits: int):
        return np.where(np.isfinite(array), np.round(array, digits), None).tolist()

    return {
        "frame": "x right in the upright middle picture, y up, z to the camera; eye centres about 0.75 apart",
        "names": list(NAMES),
        "landmarks": rounded(found.landmarks, 6),
        "spread": rounded(found.spread, 6),
        "points2d": rounded(found.points2d, 2),
        "turned_clockwise": found.turn,
        "networks": [entry["name"] for entry in card["networks"]],
    }


def draw(found, file: Path) -> None:
    """The three crops with their landmarks and the shape from three sides, as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from kpl import charts
    from kpl.files import atomic

    figure = charts.found_face(found.crops, found.crop_points, found.landmarks, found.spread)
    with atomic(file) as temporary:
        figure.savefig(temporary, dpi=110)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
