"""A fold's parameters and its training, as the tests of this folder want them."""

from cells import run

from kpl import config
from kpl.config import TrainFold

# What is trained where it does not matter: small, quick, from scratch, without logs.
TINY = {
    "backbone": "mobilenetv3",
    "image_size": 32,
    "folds": 2,
    "epochs": 2,
    "lr": 1e-3,
    "weights": "none",
    "tracker": "none",
}
# A backbone that costs next to nothing.
SMALL = {"backbone": "test_resnet", "fusion": "average", "points2d": 0.0}


def parameters(runs, store, **changes) -> TrainFold:
    places = {"faces": store.folder, "runs": runs}
    return config.checked(TrainFold, config.defaults("02_train_fold") | TINY | places | changes)


def trained(p: TrainFold):
    """The notebook's Run at its end."""
    return run("02_train_fold", **p.model_dump(mode="json"))["run"]
