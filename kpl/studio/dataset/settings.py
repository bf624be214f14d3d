"""What decides a data set's bytes, and the ready-made choices of it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kpl.errors import BadInput
from kpl.faces.recipes import LARGEST, SMALLEST
from kpl.studio.body import people
from kpl.studio.picture.camera import check_rig

# Each split counts from a number of its own: a subject must not change with the count of the others.
FIRST = {"train": 1, "val": 40001, "test": 50001}
_LAST = {"train": 40000, "val": 50000, "test": 99999}
FEW, ALL = 7, len(people.EXPRESSIONS)  # the real data's two counts of expressions a subject
_MOST_NOISE = 0.1  # eye distances: beyond it a face is no face


@dataclass(frozen=True)
class Settings:
    """What decides a data set's bytes. Raises BadInput for values that make no data set."""

    train_subjects: int = 120
    test_subjects: int = 16
    expressions: int = FEW
    scale: float = 0.4
    seed: int = 0
    val_subjects: int = 0
    subjects_with_all: int = 0  # so many have all expressions, whatever `expressions` says
    crop_size: int = 0  # pixels; 0 makes full frames
    label_noise: float = 0.0  # eye distances, see kpl.studio.dataset.noise
    rig: str = "competition"  # see kpl.studio.picture.camera.draw_stands

    def __post_init__(self) -> None:
        for split, count in self._counts.items():
            most = _LAST[split] - FIRST[split] + 1
            if not 0 <= count <= most:
                raise BadInput(f"The number of {split} subjects must lie between 0 and {most}, not {count}.")
        total = sum(self._counts.values())
        if total == 0:
            raise BadInput("A data set needs at least one subject: ask for training or test subjects.")
        if self.expressions not in (FEW, ALL):
            raise BadInput(f"There are {FEW} or {ALL} expressions, not {self.expressions}.")
        if not 0 <= self.subjects_with_all <= total:
            raise BadInput(
                f"{self.subjects_with_all} of {total} subjects cannot have all expressions:"
                f" --subjects-with-all must lie between 0 and {total}."
            )
        if not 0.05 <= self.scale <= 2:
            raise BadInput(f"The scale must lie between 0.05 and 2 (1 is 1280 x 720), not {self.scale}.")
        if self.seed < 0:
            raise BadInput(f"The seed must not be negative, not {self.seed}.")
        if self.crop_size and not SMALLEST <= self.crop_size <= LARGEST:
            raise BadInput(f"The crops' side must lie between {SMALLEST} and {LARGEST} pixels, not {self.crop_size}.")
        if self.crop_size and self.scale != 1:
            raise BadInput(f"Crops are cut from frames of scale 1, not {self.scale}: choose --crop-size instead.")
        check_rig(self.rig)
        if not 0 <= self.label_noise <= _MOST_NOISE:
            raise BadInput(
                f"The label noise must lie between 0 and {_MOST_NOISE} eye distances, not {self.label_noise}."
            )

    @property
    def _counts(self) -> dict[str, int]:
        return {"train": self.train_subjects, "val": self.val_subjects, "test": self.test_subjects}

    @property
    def subjects(self) -> dict[str, list[int]]:
        """Subject numbers of each split."""
        return {split: list(range(FIRST[split], FIRST[split] + count)) for split, count in self._counts.items()}

    @property
    def numbers(self) -> list[int]:
        """All subject numbers, ascending."""
        return [number for split in self.subjects.values() for number in split]

    @cached_property
    def with_all(self) -> frozenset[int]:
        """The subjects with all expressions.

        Each split gets its share of them (largest remainders), and the generator of (seed, split's first number)
        draws them from its subjects.
        """
        if self.expressions == ALL:
            return frozenset(self.numbers)
        chosen: list[int] = []
        for split, count in _shares(self.subjects_with_all, self._counts).items():
            rng = np.random.default_rng([self.seed, FIRST[split]])
            chosen += rng.permutation(self.subjects[split])[:count].tolist()
        return frozenset(chosen)

    def expressions_of(self, number: int) -> list[str]:
        """The folder names of a subject's expressions."""
        return list(people.EXPRESSIONS)[: ALL if number in self.with_all else self.expressions]

    def samples_of(self, split: str) -> list[str]:
        """The names of a split's samples, sorted: <subject>/<expression>."""
        return [f"{number:05d}/{name}" for number in self.subjects[split] for name in self.expressions_of(number)]

    @property
    def samples(self) -> int:
        """The number of samples of all splits."""
        return sum(len(self.expressions_of(number)) for number in self.numbers)

    def noise_of(self, number: int) -> float:
        """The label noise of a subject: only training subjects have any."""
        return self.label_noise if number < FIRST["val"] else 0.0


def _shares(total: int, counts: dict[str, int]) -> dict[str, int]:
    """`total` shared out in proportion to `counts`, by largest remainders; the first of equal ones wins."""
    exact = {name: total * count / max(1, sum(counts.values())) for name, count in counts.items()}
    shares = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: shares[name] - exact[name])
    for name in by_remainder[: total - sum(shares.values())]:
        shares[name] += 1
    return shares


# The real data's 854 subjects, split 0.8 / 0.1 / 0.1.
_COMPETITION = {"train_subjects": 683, "val_subjects": 85, "test_subjects": 86, "subjects_with_all": 141, "scale": 1.0}
PRESETS: dict[str, dict] = {"competition": _COMPETITION, "crops": {**_COMPETITION, "crop_size": 256}}


def settings_of(preset: str, given: dict) -> Settings:
    """A preset's settings ("" is the default), where those `given` win. Raises BadInput for what does not go
    together."""
    if preset and preset not in PRESETS:
        raise BadInput(f"Preset {preset!r} is unknown: the known ones are {', '.join(PRESETS)}.")
    if "crop_size" in given and preset != "crops":
        raise BadInput("--crop-size makes face crops: it needs --preset crops.")
    if given.get("crop_size") == 0:
        raise BadInput("--crop-size is the crops' side in pixels: it cannot be 0.")
    return Settings(**{**PRESETS.get(preset, {}), **given})
