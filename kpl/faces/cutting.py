"""One picture: find its face, cut it by a recipe, and say what became of it.

status     reason                                       what the crop shows
ok         "" or which of several faces, which turn     the face, cut by the recipe
fallback   turned by N degrees against the others       the face, turned upright by its own detection
           its face lies on its side                    the face as detected: no turn made it upright
           cut by the border                            the face with black where the picture ends
           its nose points to the other side            the face; the sample's pictures are exchanged, or it is mirrored
           larger than the crop                         the face, reduced (retinaface_raw only)
excluded   no face found; no box in the list; missing,  nothing: black
           empty file, no picture, truncated, damaged,
           larger than 268 megapixels
"""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from kpl.faces import detect, geometry
from kpl.faces.detect import UPRIGHT, main_faces, nose_offset, roll
from kpl.faces.geometry import LYING, Square, Turn
from kpl.faces.recipes import Recipe

OK, FALLBACK, EXCLUDED = "ok", "fallback", "excluded"

SURE = 0.5  # a face that scores less is also looked for in the other turns
INSIDE = 0.9  # the part of a face's square that must lie in the picture,
MARGIN = 0.05  # and the part of its side by which the detector's box must keep off the border
ASIDE = 0.1  # eye distances from where on a nose points to a side


class Cut(NamedTuple):
    """A cut face. Coordinates are in the pixels of the picture that was given, upright."""

    status: str
    reason: str
    score: float  # the detector's, 1 for a given box, NaN where there is no face
    roll: float  # degrees clockwise, NaN where it is not known
    turn: Turn  # the turn that was used
    square: Square  # where the crop lies; an aligned crop lies there turned by its roll
    matrix: np.ndarray  # (2, 3) from the given picture's pixels, as it is stored, into crop units
    pixels: np.ndarray  # (S, S, 3) uint8 RGB


def cut_faces(
    picture: np.ndarray, view: int, recipe: Recipe, turn: Turn = LYING, weights: str = "", exif_quarters: int = 0
) -> Iterator[Cut]:
    """Find the faces of a stored picture (H, W, 3) uint8 RGB that it may be of, and cut them, the likeliest first.

    turn: what makes the data set's pictures upright; a picture of another turn is found out by its face.
    """
    score, used, found = detect.best_turn(picture, [turn], recipe.detector, weights)
    if score < SURE:
        turns = [Turn((turn.quarters + extra) % 4, turn.mirrored) for extra in range(4)]
        _, used, found = detect.best_turn(picture, turns, recipe.detector, weights)
    frame = geometry.upright_size(*picture.shape[1::-1], used)
    rivals = main_faces(found, *frame) if len(found.scores) else ()
    extra = (used.quarters - turn.quarters) % 4
    by_tag = exif_quarters in {extra, used.quarters % 4} - {0}
    for best in rivals:
        points, box = found.points[best], found.boxes[best]
        square, margin = geometry.square_around(box, view), np.min([box[:2], np.subtract(frame, box[2:])])
        whole = _inside(square, *frame) >= INSIDE and margin >= MARGIN * square.side
        wrong = {
            "its face lies on its side": abs(roll(points)) > UPRIGHT,
            f"turned by {90 * extra} degrees against the others": extra and not by_tag,
            "cut by the border": not whole,
            "its nose points to the other side": whole and nose_offset(points) * (1 - view) < -ASIDE,
            "larger than the crop": recipe.cut == "native" and square.side > recipe.size,
        }
        notes = {f"the main one of {len(rivals)} faces": len(rivals) > 1, "turned as its EXIF tag says": extra and by_tag}
        status = FALLBACK if any(wrong.values()) else OK
        reason = "; ".join(text for text, holds in (wrong | notes).items() if holds)
        said = status, reason, round(float(found.scores[best]), 4), round(roll(points), 1), used
        aligned = recipe.cut == "aligned"
        where = _aligned(picture, points, view, recipe, used) if aligned else _straight(picture, square, recipe, used)
        yield Cut(*said, *where)


def cut_face(*how, **named) -> Cut | None:
    """The likeliest of `cut_faces`; None if there is no face."""
    return next(cut_faces(*how, **named), None)


def cut_box(picture: np.ndarray, box: np.ndarray, recipe: Recipe, turn: Turn = LYING) -> Cut:
    """Cut a given box (4,), x1 y1 x2 y2 in stored pixels; the smallest square about it if it is none."""
    x1, y1, x2, y2 = geometry.moved_box(geometry.to_upright(*picture.shape[1::-1], turn), box)
    square = geometry.square_at((x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, y2 - y1))
    whole = _inside(square, *geometry.upright_size(*picture.shape[1::-1], turn)) >= INSIDE
    said = (OK, "") if whole else (FALLBACK, "cut by the border")
    return Cut(*said, 1.0, np.nan, turn, *_straight(picture, square, recipe, turn))


def _straight(picture: np.ndarray, square: Square, recipe: Recipe, turn: Turn) -> tuple:
    """The last three fields of a Cut: a square of the upright picture, which is cut and scaled before it is turned."""
    there = geometry.to_upright(*picture.shape[1::-1], turn)
    x, y = geometry.moved_box(geometry.inverse(there), square.box).round().astype(int)[:2].tolist()
    native = recipe.cut == "native" and square.side <= recipe.size
    side = square.side if native else recipe.size
    # The official baseline cuts its boxes plainly, by cv2.resize.
    pixels = geometry.crop(picture, Square(x, y, square.side), square.side if recipe.cut == "box" else side)
    pixels = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_LINEAR)  # of the same size: as it is
    margin = (recipe.size - side) // 2  # native: one pixel stays one pixel, and black is put around
    canvas = np.zeros((recipe.size, recipe.size, 3), np.uint8)
    canvas[margin : margin + side, margin : margin + side] = geometry.upright(pixels, turn)
    shown = Square(square.x - margin, square.y - margin, recipe.size) if native else square
    return square, geometry.joined(geometry.square_to_crop(shown), there), canvas


def _aligned(picture: np.ndarray, points: np.ndarray, view: int, recipe: Recipe, turn: Turn) -> tuple:
    """The same of a face whose five points are brought to the template."""
    to_crop = geometry.similarity(points, geometry.TEMPLATE[view])
    matrix = geometry.joined(to_crop, geometry.to_upright(*picture.shape[1::-1], turn))
    centre = geometry.moved(geometry.inverse(to_crop), np.array([0.5, 0.5]))
    place = geometry.square_at(*centre, 1 / np.sqrt(max(np.linalg.det(to_crop[:, :2]), 1e-12)))
    return place, matrix, geometry.warp(picture, matrix, recipe.size)


def _inside(square: Square, width: float, height: float) -> float:
    """The part of a square that lies in the picture."""
    shared = np.minimum(square.box[2:], [width, height]) - np.maximum(square.box[:2], 0)
    return float(shared.clip(0).prod()) / square.side**2
