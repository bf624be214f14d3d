import albumentations as A
import numpy as np
import pytest

from kpl.landmarks import COUNT, MIRROR, index
from kpl.train import augment

SIDE = 64
NAMES = ("studio", "photographs")
STUDIO, PHOTOGRAPHS = map(augment.changes, NAMES)
NOTHING = A.Compose([])
LANDMARK = index("nose_tip")


def capture(seed, side=SIDE):
    """Grey crops (3, side, side, 3) with a bright dot on one landmark of each view, and the points (3, 106, 2)."""
    points = np.random.default_rng(seed).uniform(0.3, 0.7, (3, COUNT, 2)).astype(np.float32)
    crops = np.full((3, side, side, 3), 40, dtype=np.uint8)
    radius = side // 32
    for view in range(3):
        x, y = np.floor(points[view, LANDMARK] * side).astype(int)
        crops[view, y - radius : y + radius + 1, x - radius : x + radius + 1] = 255
    return crops, points


def brightest(view):
    weight = view.astype(float).sum(axis=2)
    weight = np.where(weight > 0.6 * weight.max(), weight, 0)
    y, x = np.indices(weight.shape)
    return np.array([(weight * (x + 0.5)).sum(), (weight * (y + 0.5)).sum()]) / weight.sum() / view.shape[0]


@pytest.mark.parametrize("crop_side", [SIDE, 4 * SIDE, SIDE // 2])
def test_points_move_with_their_pictures(crop_side):
    rng, far = np.random.default_rng(5), 0.0
    for seed in range(4):
        crops, points = capture(seed, crop_side)
        for view in range(3):
            move = augment.drawn_move(rng, STUDIO)
            picture = augment.moved(crops[view], SIDE, move)
            there = points[view, LANDMARK] @ move[:, :2].T + move[:, 2]
            assert np.abs(brightest(picture) - there).max() < 0.5 / SIDE + 0.5 / crop_side
            far = max(far, np.abs(there - points[view, LANDMARK]).max())
    assert far > 0.04


def test_all_changes_together_keep_points_on_their_pictures():
    """Without the patches and the noise, which may hide the dot, and strong light, which may outshine it."""
    mild = STUDIO._replace(spoil=NOTHING, colours=A.Compose([A.RandomBrightnessContrast(0.05, 0.25)]))
    rng = np.random.default_rng(1)
    for seed in range(4):
        crops, points = capture(seed)
        views, moved = augment.augmented(crops, SIDE, points, rng, mild)
        for view in range(3):
            assert np.abs(brightest(views[view]) - moved[view, LANDMARK]).max() < 1.5 / SIDE
            # one map moved all points of a view
            known = np.column_stack([points[view], np.ones(COUNT)])
            assert np.allclose(known @ np.linalg.lstsq(known, moved[view])[0], moved[view], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_view_stays_one(name):
    for seed in range(20):
        crops, points = capture(seed)
        crops[1] = 0
        rng = np.random.default_rng(seed)
        views, _ = augment.augmented(crops, SIDE, points, rng, augment.changes(name))
        assert not views[1].any() and views[0].any() and views[2].any()


def colours_of(how, colour, count=500):
    """What becomes of a colour (3,): (count, 3)."""
    how.colours.set_random_seed(0)
    crop = np.tile(np.array(colour, np.uint8), (4, 4, 1))
    return np.array([how.colours(image=crop)["image"][0, 0] for _ in range(count)], float)


def test_colours_change_within_their_bounds():
    changed = colours_of(STUDIO, [128, 128, 128])
    assert np.ptp(changed, axis=1).max() == 0  # grey stays grey
    assert 30 < changed.min() < 70 and 190 < changed.max() < 240
    red = colours_of(STUDIO, [200, 100, 100])
    assert 0.2 < (np.ptp(red, axis=1) != 100).mean() < 0.95 and (red[:, 0] > red[:, 1]).all()


def test_spoiling_changes_pictures_in_several_ways():
    crop = np.random.default_rng(0).integers(60, 200, (SIDE, SIDE, 3), dtype=np.uint8)
    spoil = STUDIO.spoil
    kinds = set()
    for seed in range(60):
        spoil.set_random_seed(seed)
        picture = spoil(image=crop)["image"]
        changed = (picture != crop).any(axis=2).mean()
        kinds.add("patches" if (picture == 0).all(axis=2).any() else "all over" if changed > 0.5 else "none")
    assert kinds == {"patches", "all over", "none"}


def test_mirroring_moves_the_pictures_and_names_together_and_undoes_itself():
    crops, points = capture(0)
    shape = np.random.default_rng(0).normal(size=(COUNT, 3))
    once = augment.mirrored(crops, shape, points)
    assert np.array_equal(once[0][0], crops[2][:, ::-1])  # the right camera's picture is now the left one's
    for view in range(3):
        assert np.abs(brightest(once[0][view]) - once[2][view, MIRROR[LANDMARK]]).max() < 1 / SIDE
    assert np.allclose(once[1][MIRROR[0]], shape[0] * [-1, 1, 1])
    twice = augment.mirrored(*once)
    assert np.array_equal(twice[0], crops)
    assert np.allclose(twice[1], shape) and np.allclose(twice[2], points)


def test_photographs_are_turned_far_with_their_points():
    rng, mild, turned = np.random.default_rng(3), PHOTOGRAPHS._replace(colours=NOTHING, spoil=NOTHING, cut=0.0), 0.0
    for seed in range(20):
        crops, points = capture(seed)
        views, moved = augment.augmented(crops, SIDE, points, rng, mild)
        for view in range(3):
            if (moved[view, LANDMARK] > 0.1).all() and (moved[view, LANDMARK] < 0.9).all():
                assert np.abs(brightest(views[view]) - moved[view, LANDMARK]).max() < 1.5 / SIDE
            known = np.column_stack([points[view], np.ones(COUNT)])
            turn = np.linalg.lstsq(known, moved[view])[0]
            turned = max(turned, abs(np.degrees(np.arctan2(turn[0, 1], turn[0, 0]))))
    assert 25 < turned < 55


def test_photographs_are_sometimes_grey_dark_or_in_coloured_light():
    changed = colours_of(PHOTOGRAPHS, [200, 100, 100])
    grey = np.ptp(changed, axis=1) == 0
    assert 0.12 < grey.mean() < 0.28
    assert (changed.mean(axis=1) < 40).mean() > 0.03
    assert (changed[~grey, 2] > 1.3 * changed[~grey, 1]).any()


@pytest.mark.parametrize("alike", [0.0, 1.0])
def test_the_views_of_a_photograph_change_their_light_together_or_each_on_its_own(alike):
    crops, points = np.full((3, SIDE, SIDE, 3), 120, np.uint8), np.full((3, COUNT, 2), 0.5)
    still = PHOTOGRAPHS._replace(turn=0.0, scale=0.0, shift=0.0, spoil=NOTHING, cut=0.0, alike=alike)
    draws = [augment.augmented(crops, SIDE, points, np.random.default_rng(seed), still)[0] for seed in range(40)]
    same = np.mean([(views[0] == views[1]).all() and (views[0] == views[2]).all() for views in draws])
    assert same == 1 if alike else same < 0.4
    again = augment.augmented(crops, SIDE, points, np.random.default_rng(7), still)[0]
    assert (again == draws[7]).all()  # whatever was drawn before


def test_what_is_cut_off_is_at_most_three_tenths_at_one_side():
    rng, whole = np.random.default_rng(0), np.random.default_rng(1).integers(1, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    for _ in range(20):
        view = whole.copy()
        augment.cut_off(view, rng)
        changed = (view != whole).any(axis=2)
        assert 0.03 < changed.mean() <= 0.3
        assert min(changed.any(axis=0).sum(), changed.any(axis=1).sum()) <= 0.3 * SIDE
