"""Who stands before the cameras: a subject's build and face, and what the face does in one expression.

Everything is drawn from generators keyed by (data set's seed, subject's number, purpose), so that a subject's
pictures depend neither on the other subjects nor on the order in which they are made.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kpl.studio.body import ageing, makehuman

_FOLDER = Path(__file__).parent
EXPRESSIONS: dict[str, dict] = json.loads((_FOLDER / "expressions.json").read_text(encoding="utf-8"))
POPULATION_FILE = _FOLDER / "population.json"
POPULATION: dict[str, float] = json.loads(POPULATION_FILE.read_text(encoding="utf-8"))
WARP = "population"  # the shape that carries everybody from MakeHuman's faces to the competition's mean shape

# Spread of the local changes by region of the head: 0.35 gives caricatures.
_SPREAD = {
    "head": 0.20,
    "forehead": 0.25,
    "eyebrows": 0.28,
    "eye": 0.24,
    "nose": 0.20,
    "mouth": 0.20,
    "ear": 0.30,
    "chin": 0.24,
    "cheek": 0.25,
    "neck": 0.15,
}
_RIGID = ("head-trans", "neck-trans", "head-angle", "mouth-trans-out", "nose-trans-out")
_PURPOSES = (
    "build",
    "idle",
    "hair",
    "skin",
    "outfit",
    "clothes",
    "rig",
    "pose",
    "light",
    "background",
    "sensor",
    "kernel",
    "window",
    "scan",
    "camera",
    "take",
    "style",
    "locks",
    "glasses",
    "garment",
    "arms",
    "sheen",
    "ageing",
    "wrinkles",
    "stand",
)


@dataclass(frozen=True)
class Subject:
    """A person: `weights` maps labels of the MakeHuman basis to weights, with the face at rest."""

    seed: int
    number: int
    male: bool
    years: float
    ancestry: np.ndarray
    weights: dict[str, float]

    def generator(self, purpose: str, expression: str = "") -> np.random.Generator:
        """The subject's own random numbers for one purpose (and one expression)."""
        key = list(EXPRESSIONS).index(expression) + 1 if expression else 0
        return np.random.default_rng([self.seed, self.number, _PURPOSES.index(purpose), key])


def draw_subject(seed: int, number: int, labels: list[str]) -> Subject:
    """Draw subject `number`: mostly East Asian, mostly young adults, like the competition's."""
    bare = Subject(seed, number, True, 0.0, np.zeros(3), {})
    rng = bare.generator("build")
    male, years = _sex_and_years(rng)
    ancestry = rng.dirichlet([0.25, 6.0, 0.8] if rng.random() < 0.85 else [0.7, 0.7, 0.7])
    weights = body_weights(
        gender=rng.uniform(0, 0.35) if male else rng.uniform(0.65, 1),
        age=np.interp(years, [25, 90], [0, 1]),
        muscle=rng.uniform(0.3, 0.7),
        weight=np.clip(rng.normal(0.5, 0.18), 0, 1),
        proportions=rng.uniform(0.3, 0.8),
        ancestry=ancestry,
    )
    aged = Subject(seed, number, male, years, ancestry, {}).generator("ageing")
    weights |= _local_weights(rng, labels, ageing.shape_offsets(years, aged))
    if rng.random() < 0.6:
        head_shapes = [label for label in labels if label.startswith("shape:")]
        weights[str(rng.choice(head_shapes))] = rng.uniform(0.1, 0.7)
    return Subject(seed, number, male, years, ancestry, weights)


def age(seed: int, number: int) -> float:
    """The years of subject `number`, without drawing the rest of it."""
    return _sex_and_years(Subject(seed, number, True, 0.0, np.zeros(3), {}).generator("build"))[1]


def _sex_and_years(rng: np.random.Generator) -> tuple[bool, float]:
    male = bool(rng.random() < 0.55)
    low, high = ((18, 30), (30, 55), (55, 80))[rng.choice(3, p=[0.55, 0.25, 0.20])]
    return male, float(rng.uniform(low, high))


def body_weights(
    gender: float, age: float, muscle: float, weight: float, proportions: float, ancestry: np.ndarray
) -> dict[str, float]:
    """Weights of MakeHuman's macro targets: linear between its named stages, all arguments in [0, 1].

    `gender` 0 is male, `age` 0 is a young adult (25 years) and 1 old (90); `ancestry` (3,) sums to one.
    """
    result: dict[str, float] = defaultdict(float)
    stages = [
        _between(gender, makehuman.GENDERS),
        _between(age, makehuman.AGES),
        _between(muscle, makehuman.MUSCLES),
        _between(weight, makehuman.WEIGHTS),
    ]
    for sex, sex_weight in stages[0].items():
        for era, era_weight in stages[1].items():
            for race, share in zip(makehuman.ANCESTRIES, ancestry, strict=True):
                result[f"race:{race}-{sex}-{era}"] += sex_weight * era_weight * share
            for tone, tone_weight in stages[2].items():
                for mass, mass_weight in stages[3].items():
                    body = f"{sex}-{era}-{tone}-{mass}"
                    amount = sex_weight * era_weight * tone_weight * mass_weight
                    result[f"universal:{body}"] += amount
                    for kind, value, names in (
                        ("height", 0.5, makehuman.HEIGHTS),
                        ("proportions", proportions, makehuman.PROPORTIONS),
                    ):
                        for name, part in _between(value, names).items():
                            result[f"{kind}:{body}-{name}"] += amount * part
    return dict(result)


def population_weights(labels: list[str]) -> dict[str, float]:
    """Weights of the population's mean head: offsets from MakeHuman's head towards the competition's mean
    shape."""
    weights = {label: 1.0 for label in labels if label == WARP}
    for name in local_names(labels):
        label, weight = _signed(name, POPULATION.get(pair_of(name), 0.0))
        if weight:
            weights[label] = weight
    return weights


def mean_weights(labels: list[str]) -> dict[str, float]:
    """Weights of a grown-up of the population's mean."""
    body = body_weights(
        gender=0.4, age=0.15, muscle=0.5, weight=0.5, proportions=0.5, ancestry=np.array([0.05, 0.80, 0.15])
    )
    return body | population_weights(labels)


def draw_expression(subject: Subject, expression: str, labels: list[str]) -> dict[str, float]:
    """Weights of the facial actions of one expression: its own intensity, a little idle activity, and a
    gaze."""
    rng = subject.generator("idle", expression)
    intensity = rng.uniform(0.7, 1.05)
    actions = {
        name: weight * intensity * rng.uniform(0.85, 1.15)
        for name, weight in EXPRESSIONS[expression]["actions"].items()
    }
    for label in labels:
        name = label.removeprefix("face:")
        if name != label and not name.startswith(("eyeLook", "jaw", "tongue")) and rng.random() < 0.08:
            actions[name] = actions.get(name, 0.0) + rng.uniform(0, 0.12)
    for name, amount in _gaze(rng.normal(0, 0.15), rng.normal(0, 0.12)).items():
        actions[name] = actions.get(name, 0.0) + amount
    actions["jawOpen"] = actions.get("jawOpen", 0.0) - 0.035  # MakeHuman's mouth at rest is a little open
    return {f"face:{name}": float(np.clip(weight, -0.1, 1.2)) for name, weight in actions.items()}


def _gaze(right: float, up: float) -> dict[str, float]:
    vertical = "eyeLookUp" if up > 0 else "eyeLookDown"
    inward, outward = ("Left", "Right") if right < 0 else ("Right", "Left")  # the subject's sides
    return {
        f"{vertical}Left": abs(up),
        f"{vertical}Right": abs(up),
        f"eyeLookIn{inward}": abs(right),
        f"eyeLookOut{outward}": abs(right),
    }


def _local_weights(rng: np.random.Generator, labels: list[str], aged: dict[str, float]) -> dict[str, float]:
    """The face's own changes around the population's mean, with what the years add (by pair); left and right
    differ by a quarter of the spread."""
    weights, shared = {label: 1.0 for label in labels if label == WARP}, {}
    for name in local_names(labels):
        pair = pair_of(name)
        spread = _SPREAD[pair.split("-")[0]]
        if pair not in shared:
            shared[pair] = rng.normal() * spread
        own = shared[pair] + (rng.normal() * spread / 4 if name != pair else 0.0)
        if pair.startswith(_RIGID):
            own *= 0.25
        elif pair.startswith(("eye-scale", "eye-push")):
            own *= 0.5
        usual = float(np.clip(own + POPULATION.get(pair, 0.0), -1, 1))
        label, weight = _signed(name, float(np.clip(usual + aged.get(pair, 0.0), -1.2, 1.2)))
        weights[label] = weight
    return weights


def local_names(labels: list[str]) -> list[str]:
    """The names of the local changes, both sides."""
    return [label.removeprefix("local+:") for label in labels if label.startswith("local+:")]


def pair_of(name: str) -> str:
    """The change without its side: "l-eye-bag-incr" and "r-eye-bag-incr" are one pair."""
    return name.removeprefix("l-").removeprefix("r-").removeprefix("measure-")


def _signed(name: str, value: float) -> tuple[str, float]:
    """MakeHuman keeps a change and its opposite as two shapes: the label and the weight of a signed
    change."""
    return f"local{'+' if value >= 0 else '-'}:{name}", abs(value)


def _between(value: float, names: tuple[str, ...]) -> dict[str, float]:
    """Linear weights of the two stages around `value` in [0, 1]."""
    position = float(value) * (len(names) - 1)
    first = min(int(position), len(names) - 2)
    weights = {names[first]: 1 - (position - first), names[first + 1]: position - first}
    return {name: weight for name, weight in weights.items() if weight > 0}
