"""The profiles: what they plan to train, and what they say it costs."""

import pytest

from kpl.conduct import profiles
from kpl.conduct.profiles import PROFILES
from kpl.config import TrainFold
from kpl.cropping import recipes
from kpl.errors import BadInput
from kpl.networks import backbones


def test_full_is_every_backbone_size_and_recipe_of_the_method_under_names_of_their_own():
    full = PROFILES["full"]
    planned = profiles.networks(full, None, None, full["recipes"])
    assert len(planned) == 8 * 3 * 3 + 1
    names = [one["name"] for _, one in planned]
    assert len(set(names)) == len(names) and {"effb5_448_retinaface600", "vit_small_528_retinaface_raw"} <= set(names)
    for recipe, one in planned:
        assert recipes.get(recipe).name == recipe
        assert backbones.timm_name(one["backbone"])
        assert set(one) | set(full["shared"]) <= set(TrainFold.__dataclass_fields__)


def test_backbones_and_sizes_stand_in_for_the_profiles_and_the_baseline_stays():
    planned = profiles.networks(PROFILES["tiny"], ["resnet10t"], None, ["list256"])
    assert [(recipe, one["backbone"], one["image_size"]) for recipe, one in planned] == [
        ("list256", "resnet10t", 32),
        ("list256", "resnet18", 32),
    ]
    assert "name" not in planned[0][1]  # of one recipe: the notebook's own name


def test_the_cost_grows_with_what_is_asked_for():
    planned = profiles.networks(PROFILES["tiny"], None, None, ["centerface256"])

    def operations(*amounts: int) -> float:
        return float(profiles.cost(planned, *amounts, 0, 2).split(" samples: ")[1].split()[0])

    assert operations(3, 2, 100) == pytest.approx(2 * operations(2, 2, 100), rel=0.1)  # a fold learns from the others
    assert operations(2, 10, 300) == pytest.approx(30 * operations(2, 1, 100), rel=0.1)
    text = profiles.cost(planned, 2, 1, 100, 8, 2)
    assert text.startswith("2 networks x 2 folds x 1 epochs on up to 100 samples") and "8 GPUs" in text


def test_operations_are_counted_on_the_network_itself():
    small, large = backbones.operations("resnet18", 64), backbones.operations("resnet18", 128)
    assert large == pytest.approx(4 * small, rel=0.01)
    assert backbones.operations("resnet18", 224) == pytest.approx(2 * 1.82e9, rel=0.02)  # timm's table: 1.82 GMACs
    with pytest.raises(BadInput, match="unknown backbone"):
        backbones.operations("no_such_net", 64)


def test_samples_are_counted_by_their_pictures(tmp_path):
    for view in "012":
        (tmp_path / "00001/01/Images" / view).mkdir(parents=True)
        (tmp_path / "00001/01/Images" / view / "t.JPG").touch()
    (tmp_path / "train_list.txt").touch()
    assert profiles.count_samples(tmp_path) == 1
