import numpy as np
import pytest

from kpl.faces import geometry
from kpl.faces.geometry import Square, Turn

from .made import lying

HEIGHT, WIDTH = 6, 10  # of the lying picture


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


TURNS = [Turn(quarters, mirrored) for quarters in range(4) for mirrored in (False, True)]


@pytest.mark.parametrize("turn", TURNS)
def test_a_painted_pixel_turns_with_its_point(turn):
    for row, column in [(0, 0), (0, 9), (5, 0), (2, 7)]:
        painted = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        painted[row, column] = 255
        turned = geometry.upright(painted, turn)
        assert turned.shape[1::-1] == geometry.upright_size(WIDTH, HEIGHT, turn)
        (there,) = np.argwhere(turned[..., 0])
        point = geometry.moved(geometry.to_upright(WIDTH, HEIGHT, turn), np.array([column + 0.5, row + 0.5]))
        np.testing.assert_array_equal(point, there[::-1] + 0.5)


def test_turning_is_clockwise():
    painted = np.zeros((HEIGHT, WIDTH), np.uint8)
    painted[:, 0] = 1  # the left edge of a lying picture is the top of the upright one
    assert geometry.upright(painted)[0].all()


@pytest.mark.parametrize("turn", TURNS)
def test_turning_back(picture, turn):
    np.testing.assert_array_equal(lying(geometry.upright(picture, turn), turn), picture)
    matrix = geometry.to_upright(WIDTH, HEIGHT, turn)
    np.testing.assert_allclose(geometry.joined(geometry.inverse(matrix), matrix), [[1, 0, 0], [0, 1, 0]], atol=1e-12)


@pytest.mark.parametrize("turn", TURNS)
def test_a_box_turns_with_its_pixels(picture, turn):
    x1, y1, x2, y2 = 2, 1, 7, 3
    a, b, c, d = geometry.moved_box(geometry.to_upright(WIDTH, HEIGHT, turn), np.array([x1, y1, x2, y2])).astype(int)
    np.testing.assert_array_equal(
        geometry.upright(picture, turn)[b:d, a:c], geometry.upright(picture[y1:y2, x1:x2], turn)
    )


def test_a_similarity_is_found_again():
    points = np.random.default_rng(0).normal(size=(5, 2))
    matrix = np.array([[0.6, -0.8, 3], [0.8, 0.6, -2]]) * 1.7
    np.testing.assert_allclose(geometry.similarity(points, geometry.moved(matrix, points)), matrix, atol=1e-12)
    mirrored = geometry.similarity(points, points * [-1, 1])
    assert np.linalg.det(mirrored[:, :2]) > 0  # never a mirroring


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
def test_a_warped_spot_lands_where_its_point_does(scale):
    painted = np.zeros((60, 80, 3), np.uint8)
    painted[28:36, 38:46] = 255
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]]) * scale / 64
    turn[:, 2] = 0.5 - turn[:, :2] @ [40, 30]
    cut = geometry.warp(painted, turn, 64).astype(float)[..., 0]
    rows, columns = np.indices(cut.shape) + 0.5
    centre = np.array([(columns * cut).sum(), (rows * cut).sum()]) / cut.sum() / 64
    np.testing.assert_allclose(centre, geometry.moved(turn, np.array([42.0, 32.0])), atol=0.4 / 64)
    assert cut.sum() / 255 == pytest.approx(64 * scale**2, rel=0.1)


@pytest.mark.parametrize("x, y, side", [(1, 2, 4), (-2, -1, 5), (4, 7, 6), (-3, -3, 20), (50, 50, 3), (-9, 2, 4)])
def test_a_crop_may_go_beyond_the_picture(picture, x, y, side):
    cut = geometry.crop(picture, Square(x, y, side), side)
    for row in range(side):
        for column in range(side):
            inside = 0 <= row + y < HEIGHT and 0 <= column + x < WIDTH
            expected = picture[row + y, column + x] if inside else np.zeros(3)
            np.testing.assert_array_equal(cut[row, column], expected)


def test_shrinking_averages_all_pixels():
    checkers = np.indices((64, 64)).sum(0)[..., None].repeat(3, 2) % 2 * 200
    cut = geometry.crop(checkers.astype(np.uint8), Square(0, 0, 64), 16)
    assert np.ptp(cut) == 0 and cut[0, 0, 0] == 100


def test_enlarging_is_smooth_and_stays_in_place():
    ramp = np.tile(np.arange(0, 160, 10, dtype=np.uint8)[None, :, None], (16, 1, 3))
    cut = geometry.crop(ramp, Square(0, 0, 16), 64).astype(int)
    steps = np.diff(cut[32, :, 0])
    assert steps.max() <= 4 and cut[32, 31:33, 0].mean() == pytest.approx(75, abs=1)


@pytest.mark.parametrize("size", [24, 96])
def test_points_stay_on_their_pixels_in_the_crop(size):
    painted = np.zeros((60, 80, 3), np.uint8)
    painted[30:33, 41:44] = 255
    square = Square(20, -5, 48)
    cut = geometry.crop(painted, square, size).astype(float)[..., 0]
    rows, columns = np.indices(cut.shape) + 0.5
    centre = np.array([(columns * cut).sum(), (rows * cut).sum()]) / cut.sum() / size
    np.testing.assert_allclose(
        centre, geometry.moved(geometry.square_to_crop(square), np.array([42.5, 31.5])), atol=0.2 / size
    )


def test_square_of_points():
    points = np.array([[[0, 0], [4, 1], [2, 2]], [[1, 1], [1, 3], [2, 2]]], float)
    np.testing.assert_allclose(geometry.square_of_points(points), [[0, -1, 4, 3], [0.5, 1, 2.5, 3]])


def test_the_square_around_a_box_follows_it():
    box = np.array([100.0, 200, 180, 300])
    near = geometry.square_around(box, 1)
    assert near.side == round(geometry.SIDE[1] * 100)
    far = geometry.square_around(box * 2, 1)
    np.testing.assert_allclose(far.box, near.box * 2, atol=2)
    left, right = geometry.square_around(box, 0), geometry.square_around(box, 2)
    assert left.side == right.side and left.y == right.y
    # The side views mirror each other.
    assert left.x < right.x
    assert left.x + right.x + left.side == pytest.approx(box[0] + box[2], abs=2)
