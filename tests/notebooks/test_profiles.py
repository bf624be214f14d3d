"""What the profiles plan to train, and what they say it costs."""

import re

import pytest
import run_all

from kpl.config import TrainFold
from kpl.errors import BadInput
from kpl.faces import recipes
from kpl.networks import backbones


def test_full_is_every_backbone_size_and_recipe_of_the_method_under_names_of_their_own():
    options = run_all.parse(["--profile", "full"])
    planned = run_all.networks(options)
    assert len(planned) == 8 * 3 * 3 + 1 and planned[-1][1]["name"] == "baseline"
    names = [one["name"] for _, one in planned]
    assert len(set(names)) == len(names) and {"effb5_448_retinaface600", "vit_small_528_retinaface_raw"} <= set(names)
    for recipe, one in planned:
        assert recipes.get(recipe).name == recipe
        assert backbones.timm_name(one["backbone"])
        assert set(one) | set(options.shared) <= set(TrainFold.model_fields)


def test_the_longest_trainings_stand_first():
    options = run_all.parse(["--profile", "full"])
    assert options.sizes == sorted(options.sizes, reverse=True)
    costs = [backbones.operations(name, 224) for name in options.backbones]
    assert costs[0] == max(costs) and costs == sorted(costs, reverse=True)


def test_the_default_starts_from_packaged_weights():
    options = run_all.parse([])
    shared = {"epochs": 5, "batch_size": 4, "lr": 3e-3, "points2d": 1.0, "weights": "packaged", "frozen": True}
    assert options.folds == 3 and options.shared == shared
    baseline = {"name": "baseline", "fusion": "average", "head": "linear", "share": "all", "points2d": 0.0}
    assert run_all.networks(options) == [
        ("centerface256", {"backbone": "mobilenetv2", "image_size": 80}),
        ("centerface256", baseline | options.baseline),
    ]


def test_what_is_asked_for_stands_in_for_the_profiles_once_each_and_the_baseline_stays():
    asked = ["--profile", "tiny", "--backbones", "resnet10t", "resnet10t", "--recipes", "list256", "--epochs", "7"]
    options = run_all.parse([*asked, "--folds", "4"])
    planned = run_all.networks(options)
    assert [(recipe, one["backbone"], one["image_size"]) for recipe, one in planned] == [
        ("list256", "resnet10t", 32),
        ("list256", "resnet18", 32),
    ]
    assert "name" not in planned[0][1]  # of one recipe: the notebook's own name
    assert options.shared["epochs"] == 7 and options.folds == 4


def test_the_cost_grows_with_what_is_asked_for():
    def said(folds: int, epochs: int, samples: int, gpus: int = 0) -> str:
        asked = ["--profile", "tiny", "--folds", str(folds), "--epochs", str(epochs)]
        return run_all.cost(run_all.parse(asked), samples, gpus, 2)

    def operations(*amounts: int) -> float:
        return float(said(*amounts).split(" samples: ")[1].split()[0])

    assert operations(3, 2, 100) == pytest.approx(2 * operations(2, 2, 100), rel=0.1)  # a fold learns from the others
    assert operations(2, 10, 300) == pytest.approx(30 * operations(2, 1, 100), rel=0.1)
    text = said(2, 1, 100, gpus=8)
    assert text.startswith("2 networks x 2 folds x 1 epochs on up to 100 samples") and "8 GPUs" in text
    assert re.search("on 2 cores", said(2, 1, 100))


def test_operations_are_counted_on_the_network_itself():
    small, large = backbones.operations("resnet18", 64), backbones.operations("resnet18", 128)
    assert large == pytest.approx(4 * small, rel=0.01)
    assert backbones.operations("resnet18", 224) == pytest.approx(2 * 1.82e9, rel=0.02)  # timm's table: 1.82 GMACs
    with pytest.raises(BadInput, match="unknown backbone"):
        backbones.operations("no_such_net", 64)


def test_a_look_at_the_captures_counts_samples_and_sees_a_changed_an_added_and_a_renamed_file(tmp_path):
    for view in "012":
        (tmp_path / f"00001/01/Images/{view}").mkdir(parents=True)
        (tmp_path / f"00001/01/Images/{view}/t.JPG").touch()
    (tmp_path / "a").write_text("1")
    seen = [run_all.look(tmp_path)]
    (tmp_path / "a").write_text("22")
    seen.append(run_all.look(tmp_path))
    (tmp_path / "b").write_text("1")
    seen.append(run_all.look(tmp_path))
    (tmp_path / "b").rename(tmp_path / "c")
    seen.append(run_all.look(tmp_path))
    assert len({checksum for checksum, _ in seen}) == 4 and {samples for _, samples in seen} == {1}
