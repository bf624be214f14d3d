"""From three pictures of a face to its landmarks, in one call: turn upright, find, cut, ask the networks."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kpl import detect, ensemble
from kpl.crop import Turn, inverse, moved, upright_size
from kpl.cropping import recipes
from kpl.cropping.cutting import Cut, cut_face
from kpl.cropping.detected import UPRIGHT, main_face, roll
from kpl.errors import BadInput
from kpl.landmarks import COUNT
from kpl.reading import pictures

VIEWS = ("left", "middle", "right")
FEWEST = 2  # faces that must be found

log = logging.getLogger("kpl")


@dataclass(frozen=True)
class Face:
    """What was found in three pictures."""

    landmarks: np.ndarray  # (106, 3) in the canonical frame: kpl.landmarks
    spread: np.ndarray  # (106,) expected length of each landmark's error, in the same units
    points2d: np.ndarray  # (3, 106, 2) landmarks in the given pictures' pixels, NaN where no network looked for them
    crops: np.ndarray  # (3, S, S, 3) uint8 RGB, the faces upright; black where none was found
    crop_points: np.ndarray  # (3, 106, 2) landmarks in the crops, in crop units 0..1, NaN as above
    turn: int  # degrees clockwise that make the pictures upright


def predict(left, middle, right, weights: str | Path = "released") -> Face:
    """The 106 landmarks of a face from three pictures, taken at once from its left, its front and its right.

    left, middle, right: each a path, or an array (H, W, 3) uint8 RGB; in `left` the nose points to the right. The
    pictures may lie on their side, all in the same way. One of them may be None, or show no face: the others answer, if
    less surely.
    weights: "released", or a folder made by kpl.release. Raises BadInput if fewer than two faces are found.
    """
    networks = ensemble.load(weights)
    read = [_pixels(picture, view) for picture, view in zip((left, middle, right), VIEWS)]
    turn = upright_turn(read)
    recipe = recipes.get(networks.card["recipe"], networks.card["crop_size"])
    cuts = [None if picture is None else cut_face(picture, view, recipe, turn) for view, picture in enumerate(read)]
    _refuse_too_few(cuts)
    crops = np.zeros((3, recipe.size, recipe.size, 3), np.uint8)
    for view, cut in enumerate(cuts):
        if cut is not None:
            crops[view] = cut.pixels
    landmarks, spread, crop_points = (part[0] for part in ensemble.answer(networks, crops[None]))
    points2d = np.full((3, COUNT, 2), np.nan)
    for view, cut in enumerate(cuts):
        if cut is not None:
            points2d[view] = moved(inverse(cut.matrix), crop_points[view])
    return Face(landmarks, spread, points2d, crops, crop_points, 90 * turn.quarters)


def upright_turn(read: list[np.ndarray | None]) -> Turn:
    """The turn in which the middle picture (H, W, 3) shows an upright face most surely; the others are asked only if it
    shows none, since each costs four looks. No turn without a face."""
    for picture in (read[1], read[0], read[2]):
        merits = [0.0 if picture is None else _merit(picture, Turn(quarters)) for quarters in range(4)]
        if max(merits) > 0:
            return Turn(int(np.argmax(merits)))
    return Turn(0)


def _merit(picture: np.ndarray, turn: Turn) -> float:
    """The score of the picture's main face in this turn, 0 if it is not upright."""
    found = detect.faces(picture, turn)
    if not len(found.scores):
        return 0.0
    best = main_face(found, *upright_size(picture.shape[1], picture.shape[0], turn))
    return float(found.scores[best]) if abs(roll(found.points[best])) <= UPRIGHT else 0.0


def _pixels(picture, view: str) -> np.ndarray | None:
    """A path or an array as (H, W, 3) uint8 RGB."""
    if picture is None:
        return None
    if isinstance(picture, str | Path):
        try:
            return pictures.read(str(picture)).pixels
        except pictures.Unusable as error:
            raise BadInput(f"the {view} picture, {picture}, cannot be used ({error}): give another file.") from None
    array = np.asarray(picture)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or not array.size:
        raise BadInput(
            f"the {view} picture is an array of shape {array.shape} and type {array.dtype}: "
            "give (height, width, 3) uint8 in RGB, or a path."
        )
    return np.ascontiguousarray(array)


def _refuse_too_few(cuts: list[Cut | None]) -> None:
    without = [view for view, cut in zip(VIEWS, cuts) if cut is None]
    if len(without) > len(VIEWS) - FEWEST:
        raise BadInput(f"no face was found in the {' and the '.join(without)} picture: at least {FEWEST} are needed.")
    for view in without:
        log.warning("no face was found in the %s picture: the other two answer.", view)
