import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from kpl import captures, crop, detect
from kpl.crop import AS_IT_IS, Turn
from kpl.cropping import orientation
from kpl.errors import BadInput
from kpl.landmarks import GROUPS, MEAN_SHAPE, mirror_points


def copy(root: Path, to: Path, change, exchange: bool = False, subjects: int = 3) -> Path:
    """A data set's first subjects, pictures changed, or with views 0 and 2 exchanged, and its truth."""
    for picture in (picture for subject in range(1, subjects + 1) for picture in root.glob(f"{subject:05}/**/t.jpg")):
        *above, view, name = picture.relative_to(root).parts
        target = to.joinpath(*above, str(2 - int(view)) if exchange else view, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), np.ascontiguousarray(change(cv2.imread(str(picture)))))
    for truth in root.glob("*.pkl"):
        shutil.copy(truth, to)
    return to


def found(root: Path, with_truth: bool = True, **given) -> orientation.Orientation:
    return orientation.find(captures.find(root), captures.truth(root) if with_truth else {}, **given)


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
def test_without_truth_the_views_are_taken_as_swapped(tiny_captures, tmp_path, monkeypatch, exchange):
    monkeypatch.setattr(orientation, "ENOUGH", 9)
    root = copy(tiny_captures, tmp_path / "copy", lambda picture: picture if exchange else picture[::-1], exchange)
    way = found(root, with_truth=False)
    assert way.swapped and way.turn == Turn(1)
    assert "views 0 and 2 are swapped (nose right in view 0 and left in view 2: 0 of 6" in way.said
    assert "no truth decides; parameter side" in way.said
    given = found(root, side="mirrored")
    assert not given.swapped and given.turn == Turn(1, mirrored=True) and "given by parameter side" in given.said


def test_a_given_turn_is_not_doubted(tiny_captures, monkeypatch):
    monkeypatch.setattr(orientation, "ENOUGH", 2)
    way = found(tiny_captures, turn=180)
    assert way.turn.quarters == 2 and "given by turn" in way.said


@pytest.mark.parametrize("given, message", [({"turn": 45}, "'turn' is 45"), ({"side": "left"}, "'side' is 'left'")])
def test_unknown_values_are_refused(tiny_captures, given, message):
    with pytest.raises(BadInput, match=message):
        found(tiny_captures, **given)


def test_a_face_without_sides_is_left_as_it_is(tmp_path):
    for view in range(3):
        path = tmp_path / f"anna/smile/Images/{view}/t.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), data.astronaut()[:250, 100:350, ::-1])
    way = found(tmp_path)
    assert way.turn == AS_IT_IS and not way.swapped and "no head looks aside" in way.said


@pytest.mark.parametrize("towards", [-1, 1])
def test_a_mouth_pulled_aside_tells_a_picture_from_its_mirror_image(towards):
    picture = np.ascontiguousarray(data.astronaut()[:250, 100:350])
    points = detect.faces(picture).points[0]
    # Pull the mouth aside, in the picture and in the shape.
    eyes = np.linalg.norm(points[1] - points[0])
    mouth = points[3:].mean(0)
    x, y = np.meshgrid(np.arange(250, dtype=np.float32), np.arange(250, dtype=np.float32))
    weight = np.exp(-((x - mouth[0]) ** 2 + (y - mouth[1]) ** 2) / (0.5 * eyes) ** 2)
    pulled = cv2.remap(picture, (x - towards * 0.15 * eyes * weight).astype(np.float32), y, cv2.INTER_LINEAR)
    shape = (MEAN_SHAPE + mirror_points(MEAN_SHAPE)) / 2
    shape[GROUPS["lips"], 0] += towards * 0.15 * 0.75
    assert orientation._agreement(pulled, points, shape) > 0
    mirrored = np.stack([250 - points[[1, 0, 2, 4, 3], 0], points[[1, 0, 2, 4, 3], 1]], 1)
    assert orientation._agreement(np.ascontiguousarray(pulled[:, ::-1]), mirrored, shape) < 0


@pytest.mark.slow
def test_truth_with_one_sided_expressions_tells_mirrored_from_swapped(tmp_path):
    root = tmp_path / "captures"
    command = [sys.executable, "-m", "kpl.studio", "--out", str(root), "--train-subjects", "9", "--test-subjects", "0"]
    command += ["--expressions", "25", "--scale", "0.25", "--seed", "3", "--jobs", "2"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    mirrored = found(copy(root, tmp_path / "mirrored", lambda picture: picture[::-1], subjects=9))
    assert mirrored.turn == Turn(1, mirrored=True) and not mirrored.swapped, mirrored.said
    swapped = found(copy(root, tmp_path / "swapped", lambda picture: picture, exchange=True, subjects=9))
    assert swapped.turn == Turn(1) and swapped.swapped and "the side that their truth says" in swapped.said, (
        swapped.said
    )
    plain = found(root)
    assert plain.turn == Turn(1) and not plain.swapped
    assert crop.LYING == plain.turn
