import numpy as np
import pandas as pd

from kpl import views
from kpl.landmarks import COUNT, MEAN_SHAPE, MIRROR, index

SIDE = 64


class Store:
    """What Views reads of a face store, with a bright dot painted on one landmark of each view."""

    landmark = index("nose_tip")

    def __init__(self, samples=3, side=SIDE):
        rng = np.random.default_rng(0)
        self.table = pd.DataFrame({"sample": [f"{i:05d}/01" for i in range(samples)]})
        self.crops = np.full((samples, 3, side, side, 3), 40, dtype=np.uint8)
        self.points2d = rng.uniform(0.3, 0.7, (samples, 3, COUNT, 2)).astype(np.float32)
        self.points3d = MEAN_SHAPE + rng.normal(0, 0.02, (samples, COUNT, 3))
        for sample in range(samples):
            for view in range(3):
                x, y = np.floor(self.points2d[sample, view, self.landmark] * side).astype(int)
                self.crops[sample, view, y - 2 : y + 3, x - 2 : x + 3] = 255


def brightest(view):
    weight = view.astype(float).sum(axis=2)
    weight = np.where(weight > 0.6 * weight.max(), weight, 0)
    y, x = np.indices(weight.shape)
    return np.array([(weight * (x + 0.5)).sum(), (weight * (y + 0.5)).sum()]) / weight.sum() / view.shape[0]


def test_points_move_with_their_pictures():
    store, rng = Store(), np.random.default_rng(5)
    geometry = views.A.Compose(
        [views.augmentation(SIDE).transforms[0]],
        keypoint_params=views.A.KeypointParams("xy", remove_invisible=False),
        seed=0,
    )
    moved = 0.0
    for row in range(3):
        pictures, points = views.augmented(geometry, store.crops[row], store.points2d[row], rng)
        for view in range(3):
            assert np.abs(brightest(pictures[view]) - points[view, store.landmark]).max() < 1.5 / SIDE
        moved = max(moved, np.abs(points - store.points2d[row]).max())
    assert moved > 0.02


def test_mirroring_moves_the_pictures_and_names_together_and_undoes_itself():
    store = Store()
    once = views.mirrored(store.crops[0], store.points3d[0], store.points2d[0])
    assert np.array_equal(once[0][0], store.crops[0][2][:, ::-1])  # the right camera's picture is now the left one's
    for view in range(3):
        partner = MIRROR[store.landmark]
        assert np.abs(brightest(once[0][view]) - once[2][view, partner]).max() < 1 / SIDE
    assert np.allclose(once[1][MIRROR[0]], store.points3d[0][0] * [-1, 1, 1])
    twice = views.mirrored(*once)
    assert np.array_equal(twice[0], store.crops[0])
    assert np.allclose(twice[1], store.points3d[0]) and np.allclose(twice[2], store.points2d[0])


def test_a_sample_depends_on_seed_epoch_and_row_alone():
    dataset = views.Views(Store(), 32, augment=True, seed=1)
    first = dataset[3, 1]
    dataset[0, 0], dataset[4, 2]  # what else was loaded does not matter
    again, other_epoch = dataset[3, 1], dataset[4, 1]
    other_seed = views.Views(Store(), 32, augment=True, seed=2)[3, 1]
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not np.array_equal(first[0], other_epoch[0]) and not np.array_equal(first[0], other_seed[0])


def test_without_augmentation_a_crop_is_only_resized():
    pictures, points3d, points2d = views.Views(Store(), SIDE)[0, 0]
    assert np.array_equal(pictures, Store().crops[0])
    assert views.Views(Store(), 32)[0, 0][0].shape == (3, 32, 32, 3)
    assert views.Views(Store(), 96)[0, 0][0].shape == (3, 96, 96, 3)


def test_unknown_points_stay_unknown():
    store = Store()
    store.points2d[0] = np.nan
    store.points3d[0] = np.nan
    _, points3d, points2d = views.Views(store, 32, augment=True)[0, 0]
    assert np.isnan(points3d).all() and np.isnan(points2d).all()


def test_an_epoch_visits_every_row_once_in_its_own_order():
    rows = np.array([4, 7, 9, 12, 15])
    orders = [[row for _, row in views.EpochSampler(rows, epoch, seed=0)] for epoch in range(6)]
    assert all(sorted(order) == rows.tolist() for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert orders[2] == [row for _, row in views.EpochSampler(rows, 2, seed=0)]
