"""Which way is up in a data set, and which side is left: found from its pictures, not assumed.

The turn is that in which most pictures of a sample show an upright face. Then the nose must point to the right in
view 0 and to the left in view 2. Where it is the other way round, either the pictures are mirrored or the views are
swapped; on a symmetric face the two look the same. With ground truth at hand, the most one-sided frontal faces decide.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from kpl import crop, detect
from kpl.crop import Turn
from kpl.cropping.detected import UPRIGHT, main_face, nose_offset, roll
from kpl.errors import BadInput
from kpl.landmarks import EYE_CENTERS, INNER, index, mirror_points
from kpl.reading import pictures

SIDES = ("auto", "as they are", "mirrored", "swapped")
TURNS = (0, 90, 180, 270)
ENOUGH = 30  # pictures with a face that decide; at most three times as many are opened
ONE_SIDED = 200  # frontal pictures that tell mirrored pictures from swapped views
SIGMAS = 3.0  # how sure they must be together: their signs, weighted by how one-sided they are
TURNED_HEAD = 0.25  # the noses' offset between views 0 and 2, in eye distances, from which heads look aside

_FLOW_SIDE = 160  # pixels
_POINTS = [*EYE_CENTERS, index("nose_tip"), index("lip_outer_left_corner"), index("lip_outer_right_corner")]


@dataclass(frozen=True)
class Orientation:
    """How a data set's pictures become upright, unmirrored and in their places."""

    turn: Turn
    swapped: bool  # view 0 is stored as 2 and the other way round
    said: str  # one line: what was decided, on what evidence, and which parameter overrides it


def find(samples: pd.DataFrame, truth: dict[str, np.ndarray], turn: int = -1, side: str = "auto") -> Orientation:
    """Decide turn and side for a table of kpl.captures.find and its truth.

    turn: degrees clockwise that make the pictures upright, -1 to find them; side: one of SIDES. Raises BadInput for
    other values, and if no picture shows a face in any turn.
    """
    if turn != -1 and turn not in TURNS:
        raise BadInput(f"parameter 'turn' is {turn}: it must be -1 (found from the pictures), 0, 90, 180 or 270.")
    if side not in SIDES:
        raise BadInput(f"parameter 'side' is {side!r}: it must be one of {', '.join(SIDES)}.")
    quarters = (0, 1, 2, 3) if turn == -1 else (turn // 90,)
    votes = list(_votes(samples, quarters))
    if not votes and turn == -1:
        raise BadInput("no face was found in any picture, in no turn: look at them, or give parameter 'turn'.")
    counts = np.bincount([vote[0] for vote in votes], minlength=4)
    best = int(counts.argmax()) if turn == -1 else turn // 90
    said = f"turned by {90 * best} degrees clockwise "
    said += f"({counts[best]} of {len(votes)} faces upright so; parameter turn)" if turn == -1 else "(given by turn)"
    noses = [(view, offset) for vote, view, offset in votes if vote == best]
    mirrored, swapped, why = _side(samples, truth, best, side, noses)
    return Orientation(Turn(best, mirrored), swapped, f"{said}; {why}")


def _votes(samples: pd.DataFrame, quarters: tuple[int, ...]):
    """(quarters, view, nose offset) of pictures from all over the data set, best turn of each."""
    spread = np.random.default_rng(0).permutation(len(samples))
    opened = voted = 0
    for row in spread:
        for view in (0, 1, 2):
            if voted >= ENOUGH or opened >= 3 * ENOUGH:
                return
            picture = _read(samples[f"view{view}"].iloc[row])
            if picture is None:
                continue
            opened += 1
            best = max((_upright_face(picture, Turn(quarter)) for quarter in quarters), key=lambda face: face[0])
            if best[0] > 0:
                voted += 1
                yield best[1].quarters, view, nose_offset(best[2])


def _side(
    samples: pd.DataFrame, truth: dict[str, np.ndarray], quarters: int, side: str, noses: list
) -> tuple[bool, bool, str]:
    """Mirrored, swapped, and why."""
    if side != "auto":
        return side == "mirrored", side == "swapped", f"{_WHAT[side]} (given by parameter side)"
    middle = [np.median([offset for at, offset in noses if at == view] or [np.nan]) for view in (0, 2)]
    apart = np.nan_to_num(middle[0]) - np.nan_to_num(middle[1])  # the cameras' yaw, whatever the head's own
    if abs(apart) < TURNED_HEAD:
        return False, False, f"{_WHAT['as they are']} (no head looks aside; parameter side)"
    aside = [offset if view == 0 else -offset for view, offset in noses if view != 1]
    right = sum(offset > 0 for offset in aside)
    evidence = f"nose right in view 0 and left in view 2: {right} of {len(aside)} side views"
    if apart > 0:
        return False, False, f"{_WHAT['as they are']} ({evidence}; parameter side)"
    signs, weights = _one_sided(samples, truth, quarters)
    sigmas = signs @ weights / max(np.linalg.norm(weights), 1e-12)
    decided = "mirrored" if sigmas <= -SIGMAS else "swapped"
    told = f"{(signs > 0).sum()} of {len(signs)} one-sided faces are on the side that their truth says"
    why = (
        f"{told}, {abs(sigmas):.1f} sigmas"
        if abs(sigmas) >= SIGMAS
        else f"taken as that: {told}, which does not decide"
    )
    why = why if len(signs) else "taken as that: no truth decides"
    return decided == "mirrored", decided == "swapped", f"{_WHAT[decided]} ({evidence}; {why}; parameter side)"


_WHAT = {
    "as they are": "not mirrored, views in their places",
    "mirrored": "pictures are mirrored and turned back",
    "swapped": "views 0 and 2 are swapped",
}


def _one_sided(samples: pd.DataFrame, truth: dict[str, np.ndarray], quarters: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the most one-sided frontal pictures: whether each is one-sided as its truth is (1) or as the truth's mirror
    image (-1), and how much its truth is."""
    known = samples[samples["sample"].isin(truth) & samples["view1"].notna()]
    strength = np.array([np.linalg.norm(_asymmetry(truth[sample])[1]) for sample in known["sample"]])
    signs, weights = [], []
    for row in np.argsort(-strength, kind="stable")[:ONE_SIDED]:
        picture = _read(known["view1"].iloc[row])
        face = (0.0, None, None) if picture is None else _upright_face(picture, Turn(quarters))
        if face[0] > 0:
            agreement = _agreement(crop.upright(picture, face[1]), face[2], truth[known["sample"].iloc[row]])
            signs.append(np.sign(agreement))
            weights.append(strength[row])
    return np.array(signs), np.array(weights)


def _agreement(picture: np.ndarray, points: np.ndarray, shape: np.ndarray) -> float:
    """Above 0 if an upright frontal picture is one-sided as its shape (106, 3) is, below 0 if as the mirrored shape.

    The flow from the mirrored face to the face is twice its asymmetry. Both are compared at the landmarks after taking
    out what a head's shift, roll and yaw do.
    """
    matrix = crop.similarity(points, crop.TEMPLATE[1])
    grey = crop.warp(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), matrix, _FLOW_SIDE)
    grey = cv2.GaussianBlur(cv2.createCLAHE(2.0, (4, 4)).apply(grey), (0, 0), 1.5)
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    field = flow.calc(np.ascontiguousarray(grey[:, ::-1]), grey, None)
    middle, expected = _asymmetry(shape)
    column, row = np.clip(middle[:, :2] * _FLOW_SIDE, 0, _FLOW_SIDE - 1).astype(int).T
    seen = field[row, column].astype(np.float64)
    nuisance = np.zeros((3, *seen.shape))
    nuisance[0, :, 0] = 1
    nuisance[1] = np.stack([-middle[:, 1], middle[:, 0] - 0.5], 1)
    nuisance[2, :, 0] = middle[:, 2]
    basis = np.linalg.qr(nuisance.reshape(3, -1).T)[0]
    seen, expected = seen.ravel(), expected.ravel()
    return float((seen - basis @ (basis.T @ seen)) @ expected)


def _asymmetry(shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the inner landmarks: the symmetric shape (K, 3) laid on the crop's template, and its departure (K, 2)."""
    symmetric = (shape + mirror_points(shape)) / 2
    flat = symmetric[:, :2] * [1, -1]
    matrix = crop.similarity(flat[_POINTS], crop.TEMPLATE[1])
    expected = ((shape - symmetric)[:, :2] * [1, -1]) @ matrix[:, :2].T
    return np.column_stack([crop.moved(matrix, flat), symmetric[:, 2]])[INNER], expected[INNER]


def _upright_face(picture: np.ndarray, turn: Turn) -> tuple[float, Turn, np.ndarray | None]:
    """Score, turn and points of the main face if it is upright in this turn; score 0 if not."""
    found = detect.faces(picture, turn)
    if not len(found.scores):
        return 0.0, turn, None
    best = main_face(found, *crop.upright_size(picture.shape[1], picture.shape[0], turn))
    is_upright = abs(roll(found.points[best])) <= UPRIGHT
    return (float(found.scores[best]) if is_upright else 0.0), turn, found.points[best]


def _read(path: str | None) -> np.ndarray | None:
    try:
        return pictures.read(path).pixels
    except pictures.Unusable:
        return None
