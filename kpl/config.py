"""The notebooks' parameters, checked: one frozen pydantic model a notebook.

The parameters cell of a notebook is the one place of the defaults, and says what each parameter means. Relative paths
are taken from the project root, wherever a notebook runs.
"""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from kpl.errors import BadInput
from kpl.files import read_json

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"


def path(text: str | Path) -> Path:
    """An absolute path; a relative one is taken from the project root."""
    return ROOT / Path(text).expanduser()


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number belongs here, not True or False")
    return value


Place = Annotated[Path, AfterValidator(path)]
NoPlace = Annotated[Place | None, BeforeValidator(lambda value: None if value == "" else value)]  # "" is none
Count = Annotated[int, BeforeValidator(_no_flag), Field(ge=0)]
Positive = Annotated[Count, Field(gt=0)]
Share = Annotated[float, BeforeValidator(_no_flag), Field(ge=0)]


class Parameters(BaseModel):
    """Frozen, and nothing but what is named. Numbers may come as text (papermill's -y makes 1e-5 one)."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class Preprocess(Parameters):
    """01_preprocess."""

    captures: Place
    recipe: str  # kpl.faces.recipes.RECIPES
    size: Count
    turn: Literal[-1, 0, 90, 180, 270]
    side: Literal["auto", "as they are", "mirrored", "swapped"]
    weights: NoPlace
    faces: NoPlace
    jobs: Count


class TrainFold(Parameters):
    """02_train_fold: one network, one image size, one fold."""

    faces: Place
    runs: Place
    name: str
    backbone: str  # a short name of kpl.networks.backbones.BACKBONES or any timm model
    image_size: Positive
    fold: Count
    folds: Positive
    epochs: Positive
    batch_size: Positive
    lr: Annotated[Share, Field(gt=0)]
    weight_decay: Share
    cycles: Positive
    seed: Count
    fusion: Literal["average", "late", "early", "channels9"]
    share: Literal["all", "mirrored", "sides", "none"]
    head: Literal["linear", "fc", "axis", "axis_xy_z", "sequence"]
    dropout: Annotated[Share, Field(lt=1)]
    loss: Literal["l1", "l2", "smooth_l1"]
    points2d: Share
    view_dropout: Annotated[Share, Field(le=1)]
    augment: Literal["none", "studio", "photographs"]
    weights: str  # "auto", "hub", "packaged", "none", "released", or a safetensors file
    frozen: bool
    workers: Count
    accumulate: Positive
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    warmup: Share
    ema: Annotated[Share, Field(lt=1)]
    keep: Literal["last", "best"]
    patience: Count
    save_every: Count
    tracker: Literal["tensorboard", "wandb", "mlflow", "none"]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} is not one of the {self.folds} folds: they count from 0.")
        if self.warmup >= self.epochs:
            raise ValueError(f"a warm-up of {self.warmup:g} epochs leaves nothing of {self.epochs}: shorten it.")
        if self.frozen and self.fusion not in ("late", "average"):
            raise ValueError(f"frozen layers know pictures of three channels: fusion={self.fusion} has others.")
        return self

    @property
    def run_name(self) -> str:
        """The folder name of the network's runs."""
        return self.name or f"{self.backbone}_{self.image_size}_{self.fusion}_{self.head}".replace("/", "-")

    @property
    def run_folder(self) -> Path:
        """Where this fold's weights, history and predictions go."""
        return self.runs / self.run_name / f"fold{self.fold}"


class Oof(Parameters):
    """03_oof."""

    faces: Place
    runs: Place
    oof: Place
    networks: str


class Stack(Parameters):
    """04_stack."""

    oof: Place
    stack: Place
    seed: Count


class Submit(Parameters):
    """05_submit."""

    faces: Place
    runs: Place
    oof: Place
    stack: Place
    truth: NoPlace
    submission: Place
    results: Place
    seed: Count


P = TypeVar("P", bound=Parameters)


def checked(model: type[P], values: Mapping[str, Any]) -> P:
    """Make a `model` from `values`. Raises BadInput, one sentence, for an unknown, missing or wrong parameter."""
    try:
        return model(**values)
    except ValidationError as error:
        raise BadInput(_sentence(model, error.errors()[0])) from None


def from_notebook(model: type[P], namespace: Mapping[str, Any]) -> P:
    """Make a `model` from a notebook's globals(): its parameters cell, and the one that papermill may have injected. An
    unknown `-p name`, which papermill lets pass with a warning, is an error that names the known ones."""
    sources = [source for source in namespace.get("In", []) if source.lstrip().startswith("# Parameters")]
    injected = {name for source in sources for name in _assigned(source)}
    return checked(model, {name: namespace[name] for name in set(model.model_fields) & set(namespace) | injected})


def defaults(notebook: str) -> dict[str, Any]:
    """What the parameters cell of a notebook ("02_train_fold") holds: {name: value}."""
    (cell,) = cells(notebook, "parameters")
    return {name: ast.literal_eval(value) for name, value in _assigned(cell).items()}


def cells(notebook: str, *tags: str) -> list[str]:
    """The sources of a notebook's code cells whose tag is one of these; "" stands for those without a tag."""
    content = read_json(NOTEBOOKS / f"{notebook}.ipynb")
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    return ["".join(cell["source"]) for cell in code if set(cell["metadata"].get("tags") or [""]) & set(tags)]


def _assigned(source: str) -> dict[str, ast.expr]:
    lines = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    return {ast.unparse(node.targets[0]): node.value for node in lines}


def _sentence(model: type[Parameters], error: Mapping[str, Any]) -> str:
    said = str(error.get("ctx", {}).get("error", error["msg"]))
    if not error["loc"]:
        return said
    name = error["loc"][0]
    if error["type"] == "extra_forbidden":
        return f"unknown parameter {name!r}: the known ones are {', '.join(model.model_fields)}."
    if error["type"] == "missing":
        return f"parameter {name!r} is missing: restore it in the parameters cell."
    return f"parameter {name!r} is {error['input']!r}: {said[0].lower()}{said[1:].removesuffix('.')}."
