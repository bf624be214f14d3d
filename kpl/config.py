"""The notebooks' parameters, checked: one frozen dataclass a notebook.

The parameters cell of a notebook holds the defaults; `from_notebook` turns whatever stands there, or was injected by
papermill, into one of these classes. Relative paths are taken from the project root, wherever a notebook runs.
"""

import ast
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from kpl.errors import BadInput

ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T")


@dataclass(frozen=True)
class Preprocess:
    """01_preprocess."""

    captures: str  # folder of captures, in either layout
    recipe: str  # how faces are found and cut: kpl.cropping.recipes.RECIPES
    size: int  # the crops' side in pixels; 0 is the recipe's own
    turn: int  # degrees clockwise that make the pictures upright; -1 is found from them
    side: str  # kpl.cropping.orientation.SIDES
    weights: str  # RetinaFace's file of weights; "" is torch's cache or a download
    faces: str  # output folder; "" is output/faces/<recipe>, with _<size> where the size is not the recipe's own
    jobs: int  # processes; 0 is one a core


@dataclass(frozen=True)
class TrainFold:
    """02_train_fold: one network, one image size, one fold."""

    faces: str  # folder written by 01_preprocess
    runs: str  # folder of the runs; this one goes to <runs>/<name>/fold<fold>
    name: str  # the network's name; "" is derived from backbone, size, fusion and head
    backbone: str  # a short name of kpl.networks.backbones.BACKBONES or any timm model
    image_size: int  # pixels
    fold: int  # the fold that is held out
    folds: int  # how many folds there are
    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    cycles: int  # warm restarts of the cosine schedule, 1 is none
    seed: int
    fusion: str  # kpl.networks.FUSIONS
    share: str  # which views share a backbone: kpl.networks.SHARES
    head: str  # kpl.networks.HEADS
    dropout: float
    loss: str  # kpl.losses.LOSSES
    points2d: float  # weight of the 2D landmarks' loss where the data has them, 0 is none
    view_dropout: float  # how likely a training sample loses one or two of its views, 0 is never
    augment: bool
    weights: str  # "auto": the published ones if the hub can be reached, "none", "released", or a safetensors file
    workers: int  # loader processes; 0 loads in a thread of the training process
    accumulate: int  # batches a step: batch_size * accumulate samples
    precision: str  # kpl.training.engine.PRECISIONS; "auto" is bf16 or fp16 on a GPU, fp32 on a CPU
    warmup: float  # epochs in which the learning rate rises
    ema: float  # decay of the weights' moving average, 0 is none
    keep: str  # the epoch whose weights are kept: kpl.training.run.KEEP
    patience: int  # epochs without a better hold-out NME that end training, 0 is never
    save_every: int  # steps between checkpoints beside those after each epoch, 0 is none
    processes: int  # that share every batch of this fold: GPUs, usually
    tracker: str  # kpl.training.engine.TRACKERS

    @property
    def run_name(self) -> str:
        """The folder name of the network's runs."""
        return self.name or f"{self.backbone}_{self.image_size}_{self.fusion}_{self.head}".replace("/", "-")

    @property
    def run_folder(self) -> Path:
        """Where this fold's weights, history and predictions go."""
        return path(self.runs) / self.run_name / f"fold{self.fold}"


@dataclass(frozen=True)
class Oof:
    """03_oof."""

    faces: str
    runs: str
    oof: str  # output folder
    copies: bool  # whether networks are asked about mirrored pictures (and with a view covered) too


@dataclass(frozen=True)
class Stack:
    """04_stack."""

    oof: str
    stack: str  # output folder
    seed: int


@dataclass(frozen=True)
class Submit:
    """05_submit."""

    faces: str
    runs: str
    oof: str
    stack: str
    truth: str  # folder or pickle with the test samples' truth, read for the score only; "" is none
    submission: str  # output file
    results: str  # output file
    report: str  # output file; "" is report.html beside the results
    seed: int


def path(text: str | Path) -> Path:
    """An absolute path; a relative one is taken from the project root."""
    return ROOT / Path(text).expanduser()


def checked(cls: type[T], values: Mapping[str, Any]) -> T:
    """Make a `cls` from `values`. Raises BadInput for an unknown, missing or wrongly typed parameter."""
    known = [field.name for field in fields(cls)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise BadInput(f"unknown parameter {unknown[0]!r}: the known ones are {', '.join(known)}.")
    missing = [name for name in known if name not in values]
    if missing:
        raise BadInput(f"parameter {missing[0]!r} is missing: restore it in the parameters cell.")
    return cls(**{field.name: _typed(field.name, field.type, values[field.name]) for field in fields(cls)})


def from_notebook(cls: type[T], namespace: Mapping[str, Any]) -> T:
    """Make a `cls` from a notebook's globals(): its parameters cell, and the one that papermill may have injected.

    papermill lets an unknown `-p name` pass with a warning; here it is an error that names the known ones.
    """
    injected = set().union(
        *(_assigned(source) for source in namespace.get("In", []) if source.lstrip().startswith("# Parameters")), set()
    )
    names = {field.name for field in fields(cls)} & set(namespace) | injected
    return checked(cls, {name: namespace[name] for name in names})


def difference(ours: Any, theirs: Mapping[str, Any], ignore: tuple[str, ...] = ()) -> str:
    """The first field in which a config and a saved one (a dict) differ, as text; "" if they agree."""
    for name, value in asdict(ours).items():
        if name not in ignore and theirs.get(name) != value:
            return f"{name}={theirs.get(name)!r}, not {value!r}"
    return ""


def _assigned(source: str) -> set[str]:
    return {
        target.id
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _typed(name: str, expected: type, value: Any) -> Any:
    if expected is float and type(value) is int:
        return float(value)
    if expected is int and type(value) is float and value.is_integer():
        return int(value)  # papermill reads 1e3 as a float
    if expected is str and isinstance(value, Path):
        return str(value)
    if type(value) is not expected:
        hint = " (papermill: -p NAME True or False, with a capital letter)" if expected is bool else ""
        raise BadInput(f"parameter {name!r} must be {expected.__name__}, not {value!r}{hint}.")
    return value
