import numpy as np
import pandas as pd

from kpl.landmarks import COUNT, MEAN_SHAPE
from kpl.train import views

SIDE = 64


class Store:
    """What Views reads of a face store."""

    def __init__(self, samples=3, side=SIDE):
        rng = np.random.default_rng(0)
        self.table = pd.DataFrame({"sample": [f"{i:05d}/01" for i in range(samples)]})
        self.crops = rng.integers(1, 255, (samples, 3, side, side, 3), dtype=np.uint8)
        self.points2d = rng.uniform(0.3, 0.7, (samples, 3, COUNT, 2)).astype(np.float32)
        self.points3d = MEAN_SHAPE + rng.normal(0, 0.02, (samples, COUNT, 3))


def test_a_sample_depends_on_seed_epoch_and_row_alone():
    dataset = views.Views(Store(), 32, changes="studio", seed=1)
    first = dataset[3, 1]
    dataset[0, 0], dataset[4, 2]  # what else was loaded does not matter
    again, other_epoch = dataset[3, 1], dataset[4, 1]
    other_seed = views.Views(Store(), 32, changes="studio", seed=2)[3, 1]
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not np.array_equal(first[0], other_epoch[0]) and not np.array_equal(first[0], other_seed[0])


def test_without_augmentation_a_crop_is_only_resized():
    pictures, _, points2d = views.Views(Store(), SIDE)[0, 0]
    assert np.array_equal(pictures, Store().crops[0]) and np.array_equal(points2d, Store().points2d[0])
    assert views.Views(Store(), 32)[0, 0][0].shape == (3, 32, 32, 3)
    assert views.Views(Store(), 96)[0, 0][0].shape == (3, 96, 96, 3)


def test_unknown_points_stay_unknown():
    store = Store()
    store.points2d[0] = np.nan
    store.points3d[0] = np.nan
    _, points3d, points2d = views.Views(store, 32, changes="studio")[0, 0]
    assert np.isnan(points3d).all() and np.isnan(points2d).all()


def test_an_epoch_visits_every_row_once_in_its_own_order():
    rows = np.array([4, 7, 9, 12, 15])
    orders = [[row for part in views.epoch_batches(rows, epoch, 0, 2) for _, row in part] for epoch in range(6)]
    assert all(sorted(order) == rows.tolist() for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert views.epoch_batches(rows, 2, 0, 2) == views.epoch_batches(rows, 2, 0, 2)


def test_no_batch_is_left_with_a_lone_sample():
    sizes = [len(part) for part in views.epoch_batches(np.arange(33), 0, 0, 8)]
    assert sizes == [7, 7, 7, 6, 6]
