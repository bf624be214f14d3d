import cv2
import numpy as np
import pytest
from skimage import data

from kpl.faces import cutting, detect, geometry, recipes
from kpl.faces.geometry import AS_IT_IS, Turn
from kpl.faces.recipes import Recipe

from .made import lying

CENTERFACE = recipes.get("centerface256", 96)
ALIGNED = Recipe("", "centerface", "aligned", 200)
NATIVE = Recipe("", "centerface", "native", 160)
TURNS = [Turn(0), Turn(1), Turn(2), Turn(3), Turn(1, mirrored=True)]


@pytest.fixture(scope="module")
def person() -> np.ndarray:
    """An upright picture of a person, (300, 260, 3)."""
    return data.astronaut()[:300, 100:360].copy()


@pytest.mark.parametrize("recipe", [CENTERFACE, ALIGNED, NATIVE], ids=lambda recipe: recipe.cut)
@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_the_crop_is_upright_however_the_picture_is_stored(person, recipe, turn):
    straight = cutting.cut_face(person, 1, recipe, AS_IT_IS)
    turned = cutting.cut_face(lying(person, turn), 1, recipe, turn)
    assert straight.status == turned.status == "ok" and straight.reason == turned.reason == ""
    assert np.abs(straight.pixels.astype(int) - turned.pixels).mean() < 2.5
    assert straight.pixels.shape == (recipe.size, recipe.size, 3)


@pytest.mark.parametrize("recipe", [CENTERFACE, ALIGNED, NATIVE], ids=lambda recipe: recipe.cut)
@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_a_spot_on_the_picture_is_found_in_the_crop_by_the_matrix(person, recipe, turn):
    cut = cutting.cut_face(lying(person, turn), 1, recipe, turn)
    painted = np.zeros((300, 260, 3), np.uint8)
    painted[118:126, 120:128] = 255  # on the nose
    spot = geometry.moved(
        geometry.inverse(geometry.to_upright(*lying(painted, turn).shape[1::-1], turn)), np.array([124.0, 122.0])
    )
    again = geometry.warp(lying(painted, turn), cut.matrix, recipe.size)[..., 0].astype(float)
    assert again.sum() > 0
    rows, columns = np.indices(again.shape) + 0.5
    centre = np.array([(columns * again).sum(), (rows * again).sum()]) / again.sum() / recipe.size
    np.testing.assert_allclose(geometry.moved(cut.matrix, spot), centre, atol=0.006)
    # The pixels are those that the matrix names.
    warped = geometry.warp(lying(person, turn), cut.matrix, recipe.size).astype(int)
    shown = cut.pixels.any(axis=2)
    assert np.abs(warped - cut.pixels)[shown].mean() < 6


def test_an_aligned_crop_has_the_points_where_the_template_has_them(person):
    leaning = cv2.warpAffine(person, cv2.getRotationMatrix2D((124, 122), 20, 1), (260, 300))
    found = cutting.cut_face(leaning, 1, ALIGNED, AS_IT_IS)
    assert found.roll == pytest.approx(-20, abs=8)
    straight = cutting.cut_face(person, 1, ALIGNED, AS_IT_IS)
    inner = slice(50, 150)
    difference = found.pixels[inner, inner].astype(int) - straight.pixels[inner, inner]
    assert np.abs(difference).mean() < 14
    unaligned = [
        cutting.cut_face(p, 1, Recipe("", "centerface", "square", 200), AS_IT_IS).pixels for p in (leaning, person)
    ]
    assert np.abs(unaligned[0][inner, inner].astype(int) - unaligned[1][inner, inner]).mean() > 25


def test_a_native_crop_keeps_pixels_and_pads_with_black(person):
    cut = cutting.cut_face(person, 1, NATIVE, AS_IT_IS)
    square = cut.square
    margin = (160 - square.side) // 2
    inner = cut.pixels[margin : margin + square.side, margin : margin + square.side]
    np.testing.assert_array_equal(inner, geometry.crop(person, square, square.side))
    assert cut.pixels.astype(int).sum() == inner.astype(int).sum()
    small = cutting.cut_face(person, 1, Recipe("", "centerface", "native", 64), AS_IT_IS)
    assert (small.status, small.reason) == ("fallback", "larger than the crop") and small.pixels.shape == (64, 64, 3)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_picture_turned_against_the_others_is_turned_by_its_own_face(person, quarters):
    expected = cutting.cut_face(person, 1, CENTERFACE, AS_IT_IS)
    stored = lying(person, Turn(quarters))
    cut = cutting.cut_face(stored, 1, CENTERFACE, AS_IT_IS)
    assert (cut.status, cut.reason) == ("fallback", f"turned by {90 * quarters} degrees against the others")
    assert np.abs(cut.pixels.astype(int) - expected.pixels).mean() < 2.5
    tagged = cutting.cut_face(stored, 1, CENTERFACE, AS_IT_IS, exif_quarters=quarters)
    assert (tagged.status, tagged.reason) == ("ok", "turned as its EXIF tag says")


def test_several_faces_are_mentioned_and_the_large_central_one_taken(person):
    face = person[40:190, 50:200]
    small = cv2.resize(face, (100, 100), interpolation=cv2.INTER_AREA)
    both = np.zeros((220, 320, 3), np.uint8)
    both[40:190, 120:270] = face
    both[60:160, 10:110] = small
    cut = cutting.cut_face(both, 1, CENTERFACE, AS_IT_IS)
    assert (cut.status, cut.reason) == (
        "ok",
        "the main one of 2 faces",
    ) and 120 < cut.square.x + cut.square.side / 2 < 270


def test_a_face_at_the_border_is_said(person):
    cut = cutting.cut_face(np.ascontiguousarray(person[:, 105:]), 1, CENTERFACE, AS_IT_IS)
    assert (cut.status, cut.reason) == ("fallback", "cut by the border") and cut.square.x < 0
    assert not cut.pixels[:, 0].any()


def test_a_face_whose_forehead_is_cut_off_is_said(person):
    """Its square lies within the picture: the square is made for the landmarks, which are below."""
    x1, y1, x2, y2 = detect.faces(person).boxes[0]
    cut = cutting.cut_face(person[round(y1 + 0.15 * (y2 - y1)) :], 1, CENTERFACE, AS_IT_IS)
    assert (cut.status, cut.reason) == ("fallback", "cut by the border") and cut.square.y >= 0
    assert cutting.cut_face(person, 1, CENTERFACE, AS_IT_IS).status == "ok"


def test_no_face_is_none():
    assert cutting.cut_face(data.coffee(), 1, CENTERFACE, AS_IT_IS) is None


@pytest.mark.parametrize("box", [(40, 60, 140, 160), (33, 21, 112, 100), (-20, 10, 80, 110)])
def test_a_listed_box_is_cut_as_the_baseline_does(person, box):
    """The baseline: cut the box out of the lying picture, cv2.resize to 256; here it is turned upright too."""
    stored = lying(person)
    cut = cutting.cut_box(stored, np.array(box, float), recipes.get("list256"))
    x1, y1, x2, y2 = box
    padded = np.pad(stored, ((50, 50), (50, 50), (0, 0)))[y1 + 50 : y2 + 50, x1 + 50 : x2 + 50]
    np.testing.assert_array_equal(cut.pixels, geometry.upright(cv2.resize(padded, (256, 256))))
    np.testing.assert_allclose(geometry.moved(cut.matrix, np.array([[x1, y1], [x2, y2]])), [[1, 0], [0, 1]], atol=1e-12)
    assert cut.status == ("ok" if x1 >= 0 else "fallback") and cut.score == 1
