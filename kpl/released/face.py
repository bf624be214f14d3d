"""From three pictures of a face to its landmarks, in one call: turn upright, find, cut, ask the networks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kpl.captures import pictures
from kpl.errors import BadInput, warn
from kpl.faces import detect, recipes
from kpl.faces.cutting import cut_face
from kpl.faces.geometry import Turn, inverse, moved
from kpl.landmarks import COUNT
from kpl.released.ensemble import answer, load

VIEWS = ("left", "middle", "right")
TURNS = [Turn(quarters) for quarters in range(4)]


@dataclass(frozen=True)
class Face:
    """What was found in three pictures."""

    landmarks: np.ndarray  # (106, 3) in the canonical frame: kpl.landmarks
    spread: np.ndarray  # (106,) expected length of each landmark's error, in the same units
    points2d: np.ndarray  # (3, 106, 2) landmarks in the given pictures' pixels, NaN where no network looked for them
    crops: np.ndarray  # (3, S, S, 3) uint8 RGB, the faces upright; black where none was found
    crop_points: np.ndarray  # (3, 106, 2) landmarks in the crops, in crop units 0..1, NaN as above
    turn: int  # degrees clockwise that make the pictures upright
    yaw: np.ndarray  # (3,) degrees: where each camera stands, positive where the nose points right; NaN as above
    pitch: np.ndarray  # (3,) degrees, positive from above
    residual: np.ndarray  # (3,) how badly face and cameras explain points2d, in RMS radii of a picture's


def predict(left, middle, right, weights: str | Path = "released") -> Face:
    """The 106 landmarks of a face from three pictures, taken at once from its left, its front and its right.

    left, middle, right: each a path, or an array (H, W, 3) uint8 RGB; in `left` the nose points to the right. The
    pictures may lie on their side, all in the same way. One or two of them may be None, or show no face: the others
    answer, less surely, as `spread` says.
    weights: "released", or a folder made by kpl.release. Raises BadInput if no picture shows a face.
    """
    networks = load(weights)
    recipe = recipes.get(networks.card["recipe"], networks.card["crop_size"])
    read = [None if each is None else _pixels(each, view) for each, view in zip((left, middle, right), VIEWS)]
    turn = upright_turn(read)
    cuts = {view: cut_face(picture, view, recipe, turn) for view, picture in enumerate(read) if picture is not None}
    cuts = {view: cut for view, cut in cuts.items() if cut is not None}
    without = " and the ".join(name for view, name in enumerate(VIEWS) if view not in cuts)
    if not cuts:
        raise BadInput("no face was found in any picture: give pictures of one face, larger or sharper ones.")
    if without:
        warn([f"no face was found in the {without} picture: what is left answers, less surely."])
    crops, points2d = np.zeros((3, recipe.size, recipe.size, 3), np.uint8), np.full((3, COUNT, 2), np.nan)
    for view, cut in cuts.items():
        crops[view] = cut.pixels
    landmarks, spread, crop_points, _, *of_cameras = (part[0] for part in answer(networks, crops[None]))
    for view, cut in cuts.items():
        points2d[view] = moved(inverse(cut.matrix), crop_points[view])
    return Face(landmarks, spread, points2d, crops, crop_points, 90 * turn.quarters, *of_cameras)


def upright_turn(read: list[np.ndarray | None]) -> Turn:
    """The turn in which the middle picture (H, W, 3) shows an upright face most surely; the others are asked only if it
    shows none, since each costs four looks. No turn without a face."""
    looks = (detect.best_turn(picture, TURNS) for picture in (read[1], read[0], read[2]) if picture is not None)
    return next((turn for score, turn, _ in looks if score > 0), TURNS[0])


def _pixels(picture, view: str) -> np.ndarray:
    if isinstance(picture, str | Path):
        try:
            return pictures.read(str(picture)).pixels
        except pictures.Unusable as error:
            raise BadInput(f"the {view} picture, {picture}, cannot be used ({error}): give another file.") from None
    array = np.asarray(picture)
    if array.shape[2:] != (3,) or array.dtype != np.uint8 or not array.size:
        found = f"of shape {array.shape} and type {array.dtype}"
        raise BadInput(f"the {view} picture is an array {found}: give (height, width, 3) uint8 in RGB, or a path.")
    return np.ascontiguousarray(array)
