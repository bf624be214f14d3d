from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from kpl import captures
from kpl.errors import BadInput
from kpl.faces import orientation
from kpl.faces.geometry import AS_IT_IS, Turn


def copy(root: Path, to: Path, change, exchange: bool = False) -> Path:
    """A data set's first three subjects, pictures changed, or with views 0 and 2 exchanged."""
    for picture in (picture for subject in range(1, 4) for picture in root.glob(f"{subject:05}/**/t.jpg")):
        *above, view, name = picture.relative_to(root).parts
        target = to.joinpath(*above, str(2 - int(view)) if exchange else view, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), np.ascontiguousarray(change(cv2.imread(str(picture)))))
    return to


def found(root: Path, **given) -> orientation.Orientation:
    return orientation.find(captures.find(root), **given)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_the_four_turns(tiny_captures, tmp_path, monkeypatch, quarters):
    monkeypatch.setattr(orientation, "ENOUGH", 6)
    way = found(
        copy(tiny_captures, tmp_path / "copy", lambda picture: np.rot90(picture, quarters))
        if quarters
        else tiny_captures
    )
    assert way.turn == Turn((1 + quarters) % 4) and not way.swapped
    assert f"turned by {90 * way.turn.quarters} degrees clockwise (6 of 6" in way.said and "parameter turn" in way.said


@pytest.mark.parametrize("exchange", [False, True], ids=["mirrored", "swapped"])
def test_the_other_way_round_is_taken_as_swapped_unless_told(tiny_captures, tmp_path, monkeypatch, exchange):
    monkeypatch.setattr(orientation, "ENOUGH", 9)
    root = copy(tiny_captures, tmp_path / "copy", lambda picture: picture if exchange else picture[::-1], exchange)
    way = found(root)
    assert way.swapped and way.turn == Turn(1)
    assert "views 0 and 2 are swapped (nose right in view 0 and left in view 2: 0 of 6" in way.said
    assert "mirrored pictures look the same; parameter side" in way.said
    given = found(root, side="mirrored")
    assert not given.swapped and given.turn == Turn(1, mirrored=True) and "given by parameter side" in given.said


def test_a_given_turn_is_not_doubted(tiny_captures, monkeypatch):
    monkeypatch.setattr(orientation, "ENOUGH", 2)
    way = found(tiny_captures, turn=180)
    assert way.turn.quarters == 2 and "given by turn" in way.said


@pytest.mark.parametrize("given", [{"turn": 45}, {"side": "left"}], ids=str)
def test_unknown_values_are_refused(tiny_captures, given):
    with pytest.raises(
        BadInput, match="must be one of .-1, 0, 90, 180, 270., and side '.*' 'auto' or one of as they are"
    ):
        found(tiny_captures, **given)


def test_a_face_without_sides_is_left_as_it_is(tmp_path):
    for view in range(3):
        path = tmp_path / f"anna/smile/Images/{view}/t.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), data.astronaut()[:250, 100:350, ::-1])
    way = found(tmp_path)
    assert way.turn == AS_IT_IS and not way.swapped and "no head looks aside" in way.said
