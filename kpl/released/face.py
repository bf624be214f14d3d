"""From pictures of a face to its landmarks, in one call: turn upright, find, cut, ask the networks, and doubt what they say.

Which picture was taken from which side, which face is in all of them, and whether it is one person, is judged by the fit of
shape and cameras (kpl.cameras): where each camera stands, and what is left unexplained.
"""

from dataclasses import dataclass
from itertools import islice, permutations, product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpl.errors import BadInput
from kpl.faces import detect, recipes
from kpl.faces.cutting import Cut, cut_faces
from kpl.faces.geometry import AS_IT_IS, Turn, inverse, moved
from kpl.landmarks import COUNT
from kpl.released.ensemble import Answer, Ensemble, answer, load
from kpl.released.given import VIEWS, shown

CHOICES = 12  # of faces, where the pictures show several, of which the best is taken
USUAL = (28.0, 0.0, -28.0)  # degrees: where cameras stand at the left, in the middle and at the right
BEHIND = 10.0  # degrees that another order must bring the cameras nearer to where they usually stand, to be looked at
SURELY = 0.8  # of what is left unexplained a mirror image may leave, to be taken for the picture
STRANGE = 1.25  # times what is usually left unexplained; see README.md


@dataclass(frozen=True)
class Face:
    """What was found in three pictures. Those are left, middle and right as they were taken to be, see `order`."""

    landmarks: np.ndarray  # (106, 3) in the canonical frame: kpl.landmarks
    spread: np.ndarray  # (106,) expected length of each landmark's error, in the same units
    points2d: np.ndarray  # (3, 106, 2) landmarks in the given pictures' pixels as a viewer shows them, in the given order
    crops: np.ndarray  # (3, S, S, 3) uint8 RGB, the faces upright; black where none was found
    crop_points: np.ndarray  # (3, 106, 2) landmarks in the crops, in crop units 0..1; NaN where no network looked for them
    turn: int  # degrees clockwise that make the pictures upright
    yaw: np.ndarray  # (3,) degrees: where each camera stands, positive where the nose points right; NaN as above
    pitch: np.ndarray  # (3,) degrees, positive from above
    residual: np.ndarray  # (3, 106) how badly face and cameras explain each picture's landmarks: 1 is as usual
    order: tuple[int, int, int]  # which of the given pictures was taken as the left, the middle, the right one
    warnings: tuple[str, ...]  # what was put right, and why the answer may be wrong; a sentence each


class Place(NamedTuple):
    """What stands at the left, in the middle or at the right: one of the given pictures, or its mirror image."""

    picture: int
    mirrored: bool = False


class Tried(NamedTuple):
    """One way of understanding the pictures, and what comes of it."""

    places: tuple[Place, ...]
    cuts: tuple[Cut | None, ...]
    said: Answer  # of one sample


def predict(left=None, middle=None, right=None, weights: str | Path = "released") -> Face:
    """The 106 landmarks of a face from three pictures, taken at once from its left, its front and its right.

    left, middle, right: each a path, a file's bytes, an open file, or an array as kpl.released.given takes it; in `left`
    the nose points to the right. The pictures may lie on their side, all in the same way. One or two of them may be None, or
    show no face: the others answer, less surely, as `spread` says. Pictures of which the cameras say that they were
    exchanged, or mirrored, are put right, and of several people the one is taken whom all pictures show; `warnings` say so.
    weights: "released", or a folder made by kpl.release. Raises BadInput if no picture shows a face, or one cannot be read.
    """
    networks = load(weights)
    given = [None if each is None else shown(each, view) for each, view in zip((left, middle, right), VIEWS)]
    warnings = [f"the {view} picture is {one.note}." for view, one in zip(VIEWS, given) if one and one.note]
    pictures, doubles = without_doubles([one and one.pixels for one in given])
    turn = upright_turn(pictures)
    first = understood(networks, pictures, turn, tuple(map(Place, range(3))))
    best, changes = in_order(networks, pictures, turn, first)
    warnings += doubles + changes + _doubts(best, {i for i, one in enumerate(pictures) if one is not None})
    places = np.full((3, COUNT, 2), np.nan)
    for place, cut, points in zip(best.places, best.cuts, best.said.points2d[0]):
        if cut is not None:
            places[place.picture] = moved(inverse(cut.matrix), points) * given[place.picture].stretch
    landmarks, spread, crop_points, _, *of_cameras, _ = (part[0] for part in best.said)
    crops, order = _crops(networks, best.cuts), tuple(place.picture for place in best.places)
    return Face(landmarks, spread, places, crops, crop_points, 90 * turn.quarters, *of_cameras, order, tuple(warnings))


def without_doubles(pictures: list[np.ndarray | None]) -> tuple[list[np.ndarray | None], list[str]]:
    """The pictures, each once: one that is given again says nothing new. And a sentence for each that was left out."""
    kept, said = list(pictures), []
    for i, j in ((1, 0), (1, 2), (0, 2)):
        if kept[i] is not None and kept[j] is not None and np.array_equal(kept[i], kept[j]):
            kept[j] = None
            said.append(f"the {VIEWS[i]} and the {VIEWS[j]} picture are the same: it is looked at once.")
    return kept, said


def upright_turn(pictures: list[np.ndarray | None]) -> Turn:
    """The turn in which the middle picture (H, W, 3) shows an upright face most surely; the others are asked only if it
    shows none, since each costs four looks. No turn without a face."""
    looks = (detect.best_turn(pictures[i], list(map(Turn, range(4)))) for i in (1, 0, 2) if pictures[i] is not None)
    return next((turn for score, turn, _ in looks if score > 0), AS_IT_IS)


def understood(networks: Ensemble, pictures: list[np.ndarray | None], turn: Turn, places: tuple[Place, ...]) -> Tried:
    """The pictures in these places; where they show several people, the one whom they explain best together."""
    recipe = recipes.get(networks.card["recipe"], networks.card["crop_size"])
    faces = []
    for view, place in enumerate(places):
        picture, own = pictures[place.picture], turn._replace(mirrored=place.mirrored)
        faces.append([] if picture is None else list(cut_faces(picture, view, recipe, own)))
    if not any(faces):
        raise BadInput("no face was found in any picture: give pictures of one face, larger or sharper ones.")
    ways = list(islice(product(*(cuts or [None] for cuts in faces)), CHOICES))
    said = answer(networks, np.stack([_crops(networks, cuts) for cuts in ways]))
    tried = [Tried(places, cuts, Answer(*(part[i : i + 1] for part in said))) for i, cuts in enumerate(ways)]
    return min(tried, key=lambda one: one.said.unlike[0])


def in_order(networks: Ensemble, pictures: list[np.ndarray | None], turn: Turn, first: Tried) -> tuple[Tried, list[str]]:
    """The pictures put where their cameras stand, one of them mirrored perhaps, where that explains them better than
    `first`, as they are given; and sentences on what was changed."""
    yaw = first.said.yaw[0]
    there = [int(view) for view in np.flatnonzero(np.isfinite(yaw))]
    apart = lambda stands, views: sum(abs(stands[i] - USUAL[view]) for i, view in zip(there, views))
    found = [first]
    for mirrored in (None, *there):
        stands = [-angle if i == mirrored else angle for i, angle in enumerate(yaw)]
        views = min(permutations(range(3), len(there)), key=lambda views: apart(stands, views))
        if apart(yaw, there) - apart(stands, views) > BEHIND:
            taken = dict(zip(views, there)) | dict(zip({0, 1, 2} - {*views}, {0, 1, 2} - {*there}))
            places = tuple(Place(taken[view], taken[view] == mirrored) for view in range(3))
            found.append(understood(networks, pictures, turn, places))
            if mirrored is None and found[-1].said.unlike[0] <= STRANGE:
                break  # as well as one person's pictures do: no mirror image is needed
    return (best := min(found, key=_merit)), _changes(best)


def _merit(way: Tried) -> float:
    """What a way leaves unexplained; a mirror image needs better reasons, and with the others moved, which is the same seen in
    a mirror, still better ones."""
    moves = sum(place.picture != view for view, place in enumerate(way.places))
    mirrored = any(place.mirrored for place in way.places)
    return way.said.unlike[0] * ((1 + 0.05 * moves) / SURELY if mirrored else 1)


def _changes(best: Tried) -> list[str]:
    shown = [(view, place) for view, place in enumerate(best.places) if best.cuts[view] is not None]
    said = [f"the {VIEWS[place.picture]} picture is mirrored and was turned back." for _, place in shown if place.mirrored]
    moves = [f"the {VIEWS[place.picture]} picture as the {VIEWS[view]} one" for view, place in shown if place.picture != view]
    if moves:
        mirrored = " (or all are mirrored: then this is the mirror image)" if len(shown) == 3 == len(moves) + 1 else ""
        said.append(f"by where the cameras stand, {' and '.join(moves)} was taken{mirrored}.")
    return said


def _doubts(best: Tried, looked_at: set[int]) -> list[str]:
    """Why the answer may be wrong."""
    lost = [VIEWS[place.picture] for place, cut in zip(best.places, best.cuts) if cut is None and place.picture in looked_at]
    said = [f"no face was found in the {' and the '.join(lost)} picture: what is left answers, less surely."] if lost else []
    if sum(cut is not None for cut in best.cuts) == 1:
        said.append("one picture alone answers: it says little of the depth.")
    for place, cut in zip(best.places, best.cuts):
        if cut is not None and "border" in cut.reason:
            said.append(f"the face in the {VIEWS[place.picture]} picture is cut by the border.")
    if (unlike := best.said.unlike[0]) > STRANGE:
        worse = f"{unlike:.1f} times as badly as usual"
        said.append(f"the pictures do not fit together, {worse}: is it one person, who did not move in between?")
    return said


def _crops(networks: Ensemble, cuts: tuple[Cut | None, ...]) -> np.ndarray:
    size = networks.card["crop_size"]
    return np.stack([np.zeros((size, size, 3), np.uint8) if cut is None else cut.pixels for cut in cuts])
