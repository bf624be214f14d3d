"""What a whole run trains: the profiles' networks and recipes, and what they cost."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# The official baseline re-created: one ResNet for all views, the last level, one linear layer, answers averaged.
BASELINE = {
    "name": "baseline",
    "backbone": "resnet18",
    "fusion": "average",
    "head": "linear",
    "share": "all",
    "points2d": 0.0,
}


def _grid(backbones: Iterable[str], sizes: Iterable[int]) -> list[dict[str, Any]]:
    sizes = list(sizes)
    return [{"backbone": backbone, "image_size": size} for backbone in backbones for size in sizes]


# The `networks` are trained on each of the recipes, the baseline on the first; `shared` is what all of them share.
PROFILES: dict[str, dict[str, Any]] = {
    "demo": {
        "networks": _grid(["resnet10t", "mobilenetv4_conv_small"], [64]),
        # The best network's backbone: it shows what the structure is worth, in two thirds of ResNet-18's time.
        "baseline": {"backbone": "resnet10t", "image_size": 64},
        "recipes": ["centerface256"],
        "folds": 3,
        "shared": {"epochs": 5, "batch_size": 8, "lr": 3e-3},
    },
    "full": {
        "networks": _grid(
            ["effb3", "effb4", "effb5", "effb6", "seresnet152d", "resnest200e", "resnet200d", "vit_small"],
            [384, 448, 528],
        ),
        "baseline": {"image_size": 256},
        "recipes": ["centerface256", "retinaface600", "retinaface_raw"],
        "folds": 5,
        "shared": {"epochs": 192, "batch_size": 16, "lr": 3e-4, "share": "none", "workers": 8},
    },
    "tiny": {
        "networks": _grid(["mobilenetv3"], [32]),
        "baseline": {"image_size": 32},
        "recipes": ["centerface256"],
        "folds": 2,
        "shared": {"epochs": 2, "batch_size": 8},
    },
}
PICTURES = (".jpg", ".jpeg", ".png", ".bmp")
# Operations a second in training, for the estimate: a core's were measured (small networks, one thread: 24e9 to 28e9), a
# GPU's are assumed, about a tenth of what the data sheet of an A100 promises.
SPEED = {"core": 25e9, "GPU": 30e12}


def networks(
    profile: dict[str, Any], backbones: list[str] | None, sizes: list[int] | None, recipes: list[str]
) -> list[tuple[str, dict[str, Any]]]:
    """(recipe, parameters of 02_train_fold) of each network; backbones and sizes, if any, stand in for the profile's.

    Where there are several recipes a network is named after its own: all of them share a folder.
    """
    chosen = profile["networks"]
    if backbones or sizes:
        known = [dict.fromkeys(one[name] for one in chosen) for name in ("backbone", "image_size")]
        chosen = _grid(backbones or known[0], sizes or known[1])
    planned = [(recipe, dict(one)) for recipe in recipes for one in chosen]
    if len(recipes) > 1:
        for recipe, one in planned:
            one["name"] = f"{one.get('name', one['backbone'])}_{one['image_size']}_{recipe}".replace("/", "-")
    return [*planned, (recipes[0], BASELINE | profile["baseline"])]


def count_samples(captures: Path) -> int:
    """How many samples a folder of captures holds, by its pictures."""
    pictures = sum(name.lower().endswith(PICTURES) for _, _, names in os.walk(captures) for name in names)
    return pictures // 3


def cost(
    planned: list[tuple[str, dict[str, Any]]], folds: int, epochs: int, samples: int, gpus: int, cores: int
) -> str:
    """What training will take, in one paragraph. Each network's operations are counted on its backbone, without
    memory."""
    from kpl.networks.backbones import operations  # here: it takes torch, and --help must not

    seen = epochs * samples * (folds - 1)  # each fold learns from the others
    forward = sum(operations(one["backbone"], one["image_size"]) for _, one in planned)
    total = 3 * 3 * forward * seen  # three views; the way back costs twice the way forward
    device, count = ("GPU", gpus) if gpus else ("core", cores)
    hours = total / (count * SPEED[device]) / 3600
    return (
        f"{len(planned)} networks x {folds} folds x {epochs} epochs on up to {samples} samples: {total:.1e} floating-point "
        f"operations, {duration(hours)} on {count} {device}{'s' if count > 1 else ''} "
        f"at {SPEED[device] / 1e9:,.0f} GFLOP/s each, give or take a factor of three."
    )


def duration(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.0f} minutes"
    return f"{hours:.0f} hours" if hours < 72 else f"{hours / 24:,.0f} days"
