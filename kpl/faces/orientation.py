"""Which way is up in a data set, and which side is left: found from its pictures, not assumed.

The turn is that in which most of some pictures show an upright face. Then the nose must point to the right in view 0 and
to the left in view 2. Else the views are swapped, or the pictures mirrored, which looks the same: the former is assumed.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

import numpy as np
import pandas as pd

from kpl.captures import VIEWS, pictures
from kpl.errors import BadInput
from kpl.faces import detect
from kpl.faces.detect import main_faces, nose_offset
from kpl.faces.geometry import Turn, upright_size

TURNS = (-1, 0, 90, 180, 270)
SIDES = {
    "as they are": "not mirrored, views in their places",
    "mirrored": "pictures are mirrored and turned back",
    "swapped": "views 0 and 2 are swapped",
}
ENOUGH = 30  # pictures with a face that decide; at most three times as many are opened
TURNED_HEAD = 0.25  # the noses' offset between views 0 and 2, in eye distances, from which heads look aside


class Orientation(NamedTuple):
    """How a data set's pictures become upright, unmirrored and in their places."""

    turn: Turn
    swapped: bool  # view 0 is stored as 2 and the other way round
    said: str  # one line: what was decided, on what evidence, and which parameter overrides it


def find(samples: pd.DataFrame, turn: int = -1, side: str = "auto") -> Orientation:
    """Decide turn and side for a table of kpl.captures.find.

    turn: degrees clockwise that make the pictures upright, -1 to find them; side: one of SIDES, or "auto" to find it.
    Raises BadInput for other values, and if no picture shows a face in any turn.
    """
    if turn not in TURNS or side not in ("auto", *SIDES):
        raise BadInput(f"turn {turn} must be one of {TURNS}, and side {side!r} 'auto' or one of {', '.join(SIDES)}.")
    votes = list(islice(_votes(samples, range(4) if turn == -1 else [turn // 90]), ENOUGH))
    if not votes and turn == -1:
        raise BadInput("no face was found in any picture, in no turn: look at them, or give parameter 'turn'.")
    counts = np.bincount([quarters for quarters, *_ in votes], minlength=4)
    best = int(counts.argmax()) if turn == -1 else turn // 90
    up = f"{counts[best]} of {len(votes)} faces upright so; parameter turn" if turn == -1 else "given by turn"
    why = "given by parameter side"
    if side == "auto":
        side, why = _side([(view, offset) for quarters, view, offset in votes if quarters == best])
    said = f"turned by {90 * best} degrees clockwise ({up}); {SIDES[side]} ({why})"
    return Orientation(Turn(best, side == "mirrored"), side == "swapped", said)


def _votes(samples: pd.DataFrame, quarters: Sequence[int]) -> Iterator[tuple[int, int, float]]:
    """(quarters, view, nose offset) of pictures from all over the data set that show an upright face."""
    for view, picture in islice(_opened(samples), 3 * ENOUGH):
        score, turn, found = detect.best_turn(picture, [Turn(each) for each in quarters])
        if score > 0:
            best = main_faces(found, *upright_size(*picture.shape[1::-1], turn))[0]
            yield turn.quarters, view, nose_offset(found.points[best])


def _opened(samples: pd.DataFrame) -> Iterator[tuple[int, np.ndarray]]:
    for row in np.random.default_rng(0).permutation(len(samples)):
        for view in VIEWS:
            with suppress(pictures.Unusable):
                yield view, pictures.read(samples[f"view{view}"].iloc[row]).pixels


def _side(noses: list[tuple[int, float]]) -> tuple[str, str]:
    """One of SIDES, and why, by the noses' (view, offset)."""
    left, right = (np.median([offset for at, offset in noses if at == view] or [0.0]) for view in (0, 2))
    if abs(left - right) < TURNED_HEAD:  # the difference is the cameras' yaw, whatever the head's own
        return "as they are", "no head looks aside; parameter side"
    aside = [offset if view == 0 else -offset for view, offset in noses if view != 1]
    evidence = f"nose right in view 0 and left in view 2: {sum(each > 0 for each in aside)} of {len(aside)} side views"
    if left > right:
        return "as they are", f"{evidence}; parameter side"
    return "swapped", f"{evidence}; taken as that, as mirrored pictures look the same; parameter side"
