"""One picture: find its face, cut it by a recipe, and say what became of it.

status     reason                                       what the crop shows
ok         "" or which of several faces, which turn     the face, cut by the recipe
fallback   no face found; no box in the list            where that view's faces usually are (kpl.crop.likely_squares)
           turned by N degrees against the others       the face, turned upright by its own detection
           its face lies on its side                    the face as detected: no turn made it upright
           cut by the border                            the face with black where the picture ends
           larger than the crop                         the face, reduced (retinaface_raw only)
excluded   missing, empty file, no picture, truncated,  nothing: black
           damaged, larger than 268 megapixels
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from kpl import crop, detect
from kpl.crop import Square, Turn
from kpl.cropping.detected import UPRIGHT, Faces, main_face, roll
from kpl.cropping.recipes import Recipe

OK, FALLBACK, EXCLUDED = "ok", "fallback", "excluded"
NO_FACE, NO_BOX = "no face found", "no box in the list"

SURE = 0.5  # a face that scores less is also looked for in the other turns
INSIDE = 0.9  # the part of a face's square that must lie in the picture
RIVAL = 0.25  # a second face of so much of the first one's area is mentioned


@dataclass(frozen=True)
class Cut:
    """A cut face. Coordinates are in the pixels of the picture that was given, upright."""

    status: str
    reason: str
    score: float  # the detector's, 1 for a given box, NaN where there is no face
    roll: float  # degrees clockwise, NaN where it is not known
    square: Square  # where the crop lies; an aligned crop lies there turned by its roll
    turn: Turn  # the turn that was used
    matrix: np.ndarray  # (2, 3) from the given picture's pixels, as it is stored, into crop units
    pixels: np.ndarray  # (S, S, 3) uint8 RGB


def cut_face(
    picture: np.ndarray, view: int, recipe: Recipe, turn: Turn = crop.LYING, weights: str = "", exif_quarters: int = 0
) -> Cut | None:
    """Find the face of a stored picture (H, W, 3) uint8 RGB and cut it. None if there is no face.

    turn: what makes the data set's pictures upright; a picture of another turn is found out by its face.
    """
    found, used = _look(picture, turn, recipe.detector, weights)
    if not len(found.scores):
        return None
    frame = crop.upright_size(picture.shape[1], picture.shape[0], used)
    best = main_face(found, *frame)
    square = crop.square_around(found.boxes[best], view)
    points = found.points[best]
    reasons = []
    if abs(roll(points)) > UPRIGHT:
        reasons.append("its face lies on its side")
    extra = (used.quarters - turn.quarters) % 4
    by_tag = exif_quarters and exif_quarters in (extra, used.quarters % 4)
    if extra and not by_tag:
        reasons.append(f"turned by {90 * extra} degrees against the others")
    if _inside(square, *frame) < INSIDE:
        reasons.append("cut by the border")
    made = _cut(picture, square, points, view, recipe, used)
    if recipe.cut == "native" and square.side > recipe.size:
        reasons.append("larger than the crop")
    notes = [f"the main one of {rivals} faces"] if (rivals := _rivals(found, best)) > 1 else []
    notes += ["turned as its EXIF tag says"] if extra and by_tag else []
    return replace(
        made,
        status=FALLBACK if reasons else OK,
        reason="; ".join(reasons + notes),
        score=round(float(found.scores[best]), 4),
        roll=round(roll(points), 1),
    )


def cut_box(picture: np.ndarray, box: np.ndarray, recipe: Recipe, turn: Turn = crop.LYING) -> Cut:
    """Cut a given box (4,), x1 y1 x2 y2 in stored pixels; the smallest square about it if it is none."""
    matrix = crop.to_upright(picture.shape[1], picture.shape[0], turn)
    x1, y1, x2, y2 = crop.moved_box(matrix, box)
    made = cut_square(picture, crop.square_at((x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, y2 - y1)), recipe, turn)
    frame = crop.upright_size(picture.shape[1], picture.shape[0], turn)
    cut_off = _inside(made.square, *frame) < INSIDE
    return replace(made, status=FALLBACK if cut_off else OK, reason="cut by the border" if cut_off else "", score=1.0)


def cut_square(picture: np.ndarray, square: Square, recipe: Recipe, turn: Turn = crop.LYING) -> Cut:
    """Cut a square of the upright picture, as far as that needs no face: unaligned. Its reason is left empty."""
    there = crop.to_upright(picture.shape[1], picture.shape[0], turn)
    low_high = crop.moved_box(crop.inverse(there), square.box).round().astype(int)
    stored = Square(int(low_high[0]), int(low_high[1]), square.side)
    native = recipe.cut == "native" and square.side <= recipe.size
    side = square.side if native else recipe.size
    if recipe.cut == "box":  # plainly, as the official baseline's cv2.resize does
        pixels = cv2.resize(crop.crop(picture, stored, square.side), (side, side), interpolation=cv2.INTER_LINEAR)
    else:
        pixels = crop.crop(picture, stored, side)
    pixels = crop.upright(pixels, turn)
    to_crop = crop.square_to_crop(square)
    if native:  # one pixel stays one pixel, and black is put around
        margin = (recipe.size - side) // 2
        canvas = np.zeros((recipe.size, recipe.size, 3), np.uint8)
        canvas[margin : margin + side, margin : margin + side] = pixels
        pixels = canvas
        to_crop = crop.square_to_crop(Square(square.x - margin, square.y - margin, recipe.size))
    return Cut(FALLBACK, "", np.nan, np.nan, square, turn, crop.joined(to_crop, there), pixels)


def _cut(picture: np.ndarray, square: Square, points: np.ndarray, view: int, recipe: Recipe, turn: Turn) -> Cut:
    """By the recipe, without its score."""
    if recipe.cut != "aligned":
        return cut_square(picture, square, recipe, turn)
    there = crop.to_upright(picture.shape[1], picture.shape[0], turn)
    matrix = crop.joined(crop.similarity(points, crop.TEMPLATE[view]), there)
    upright_to_crop = crop.joined(matrix, crop.inverse(there))
    centre = crop.moved(crop.inverse(upright_to_crop), np.array([0.5, 0.5]))
    side = 1 / np.sqrt(max(np.linalg.det(upright_to_crop[:, :2]), 1e-12))
    place = crop.square_at(*centre, side)
    return Cut(OK, "", np.nan, np.nan, place, turn, matrix, crop.warp(picture, matrix, recipe.size))


def _look(picture: np.ndarray, turn: Turn, detector: str, weights: str) -> tuple[Faces, Turn]:
    """The faces in the data set's turn, or in another one if only there a face is upright."""
    found = detect.faces(picture, turn, detector, weights)
    if _merit(found, picture, turn) >= SURE:
        return found, turn
    turns = [turn] + [Turn((turn.quarters + extra) % 4, turn.mirrored) for extra in (1, 2, 3)]
    answers = [found] + [detect.faces(picture, other, detector, weights) for other in turns[1:]]
    merits = [_merit(answer, picture, other) for answer, other in zip(answers, turns)]
    best = int(np.argmax(merits))  # the first, the data set's own, where none has an upright face
    return answers[best], turns[best]


def _merit(found: Faces, picture: np.ndarray, turn: Turn) -> float:
    """The main face's score if it is upright, else 0."""
    if not len(found.scores):
        return 0.0
    best = main_face(found, *crop.upright_size(picture.shape[1], picture.shape[0], turn))
    return float(found.scores[best]) if abs(roll(found.points[best])) <= UPRIGHT else 0.0


def _inside(square: Square, width: float, height: float) -> float:
    x1, y1, x2, y2 = square.box
    shared = max(0.0, min(x2, width) - max(x1, 0)) * max(0.0, min(y2, height) - max(y1, 0))
    return shared / square.side**2


def _rivals(found: Faces, best: int) -> int:
    """How many faces are about as sure and as large as the main one, itself included."""
    area = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(1)
    return int(((area >= RIVAL * area[best]) & (found.scores >= found.scores.max() / 2)).sum())
