import cv2
import numpy as np
import pytest
from skimage import data

from kpl.faces import centerface
from kpl.faces.detect import Faces, best_turn, faces, main_faces, nose_offset, reduced, roll
from kpl.faces.geometry import AS_IT_IS, Turn, moved, to_upright

from .made import lying

# Read off the photograph by eye: the astronaut's eyes, nose, and corners of the mouth.
ASTRONAUT = np.array([[203, 102], [247, 105], [224, 125], [204, 143], [243, 145]])


@pytest.fixture(scope="module")
def photograph():
    return data.astronaut()


@pytest.mark.parametrize("scale", [0.25, 0.7, 1.0, 3.0])
def test_a_real_face_is_found_at_every_size(photograph, scale):
    found = faces(cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    assert len(found.boxes) == len(found.scores) == 1 and found.scores[0] > 0.7
    np.testing.assert_allclose(found.points[0] / scale, ASTRONAUT, atol=7)
    np.testing.assert_allclose(found.boxes[0] / scale, [180, 60, 270, 178], atol=8)


def test_the_order_of_sizes_does_not_matter(photograph):
    first = faces(photograph)
    faces(photograph[:, :300])
    again = faces(photograph)
    for name in ("boxes", "scores", "points"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))


@pytest.mark.parametrize("turn", [Turn(1), Turn(2), Turn(3, mirrored=True)])
def test_a_turned_picture_has_the_same_faces(photograph, turn):
    picture = photograph[:400]
    here, there = faces(picture), faces(lying(picture, turn), turn)
    for name in ("boxes", "scores", "points"):
        np.testing.assert_allclose(getattr(here, name), getattr(there, name), atol=0.5)


def test_a_shifted_picture_shifts_the_box(photograph):
    shifted = np.zeros((512, 640, 3), np.uint8)
    shifted[:, 64:576] = photograph
    whole = centerface.find(shifted), centerface.find(photograph)
    np.testing.assert_allclose(whole[0].boxes, whole[1].boxes + [64, 0, 64, 0], atol=2)


def test_the_detector_sees_the_size_that_it_needs(photograph):
    assert reduced(photograph[:256], centerface.LONGEST_SIDE).shape == (160, 320, 3)
    assert reduced(photograph, 600) is photograph


def test_roll_and_nose():
    points = np.array([[10, 10], [20, 10], [17, 15], [12, 20], [18, 20]], float)
    assert roll(points) == 0 and nose_offset(points) == pytest.approx(0.2)
    quarter = moved(to_upright(100, 100, Turn(1)), points)
    assert roll(quarter) == pytest.approx(90) and nose_offset(quarter) == pytest.approx(0.2)


@pytest.mark.parametrize(
    "picture", [np.zeros((300, 200, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8), data.coffee()]
)
def test_no_face(picture):
    found = faces(picture)
    assert found.boxes.shape == (0, 4) and found.scores.shape == (0,) and found.points.shape == (0, 5, 2)


def test_several_faces_come_best_first_and_each_once(photograph):
    face = photograph[20:220, 130:330]
    both = np.hstack([face, face[:, ::-1], np.zeros((200, 100, 3), np.uint8)])
    found = faces(both)
    assert len(found.boxes) == 2 and found.scores[0] >= found.scores[1]
    left, right = sorted(found.boxes.tolist())
    assert left[2] < right[0]  # side by side


def test_the_main_face_is_large_and_central_and_not_a_doubtful_one():
    boxes = np.array([[0, 0, 20, 20], [40, 40, 60, 60], [30, 30, 70, 70], [0, 0, 100, 100]], float)
    points = np.zeros((4, 5, 2))
    assert main_faces(Faces(boxes, np.array([0.9, 0.8, 0.35, 0.4]), points), 100, 100)[0] == 1
    assert main_faces(Faces(boxes, np.array([0.6, 0.6, 0.5, 0.2]), points), 100, 100)[0] == 2
    assert main_faces(Faces(boxes[:1], np.array([0.4]), points[:1]), 100, 100)[0] == 0


def test_the_best_turn_is_that_of_an_upright_face(photograph):
    stored, turns = lying(photograph[:300], Turn(3)), [Turn(quarters) for quarters in range(4)]
    score, turn, found = best_turn(stored, turns)
    assert turn == Turn(3) and score == found.scores.max() > 0.7
    score, turn, found = best_turn(stored, [Turn(2), Turn(1), AS_IT_IS])
    assert (score, turn) == (0.0, Turn(2))  # no upright face: the first
