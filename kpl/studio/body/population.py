"""`python -m kpl.studio.body.population`: fit the population's mean head to the competition's mean shape.

Writes population.json, offsets of MakeHuman's local changes, small ones so that faces stay natural, and
population_warp.json, the displacements of the landmarks that the offsets leave over (see kpl.studio.body.warp). Needed
again when people are drawn differently; about a minute.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.optimize import lsq_linear

from kpl import config, landmarks, score
from kpl.files import atomic
from kpl.studio.body import head, loader, makehuman, people, reference, warp
from kpl.studio.body.anatomy import Anatomy
from kpl.studio.body.makehuman import Basis

_SUBJECTS, _EXPRESSIONS, _SEED = 400, 7, 101  # not the seeds that data sets are made with
_ROUNDS, _CAP, _RIDGE = 4, 0.35, 0.004
# Changes that move no landmark much, or would do it in a way that is seen.
_LEFT_ALONE = (
    "neck",
    "ear",
    "head-back",
    "head-trans",
    "head-age",
    "eye-bag",
    "eye-push",
    "mouth-laugh",
    "mouth-dimples",
    "mouth-angles",
    "mouth-trans-out",
    "nose-trans-out",
    "head-angle",
)


def landmark_shapes(model: Anatomy, seed: int, subjects: int, expressions: int) -> np.ndarray:
    """Landmarks (subjects * expressions, 106, 3) in the canonical frame, drawn without rendering: 3 ms each."""
    model, points = _only_landmarks(model), []
    for number in range(1, subjects + 1):
        subject = people.draw_subject(seed, number, model.label_list)
        rest = model.vertices + model.displacement(subject.weights)  # arms at rest or not: no landmark lies there
        for expression in list(people.EXPRESSIONS)[:expressions]:
            actions = people.draw_expression(subject, expression, model.label_list)
            points.append(head.to_canonical(head.landmark_points(model, rest, actions)))
    return np.array(points)


def main() -> None:
    """Fit the offsets, then the warp, a few rounds each."""
    if not warp.FILE.exists():
        _write(warp.FILE, np.zeros((landmarks.COUNT, 3)).tolist())
    model = loader.load(config.path("input/.cache"))
    basis = makehuman.read_basis(makehuman.data_folder())
    moves = np.zeros((landmarks.COUNT, 3))
    people.POPULATION.clear()
    model = _warped(model, basis, moves)
    for _ in range(_ROUNDS):
        people.POPULATION.update(_fitted_offsets(model))
    people.POPULATION.update({name: round(value, 3) for name, value in sorted(people.POPULATION.items())})
    print(f"tilt: {_pitch(_mean_shape(model)):+.2f} degrees")
    goal = _goal(_mean_shape(_warped(model, basis, moves)))
    for _ in range(_ROUNDS):
        moves += _residual(_warped(model, basis, moves), goal)
    _mean_shape(_warped(model, basis, moves))
    _write(people.POPULATION_FILE, people.POPULATION)
    _write(warp.FILE, moves.round(5).tolist())


def _warped(model: Anatomy, basis: Basis, moves: np.ndarray) -> Anatomy:
    full = reference.with_warp(basis, model.landmark_vertices, model.landmark_weights, moves)
    return replace(model, shapes=full.shapes, labels=full.labels)


def _mean_shape(model: Anatomy) -> np.ndarray:
    """The population's mean landmarks (106, 3), all expressions together, in the canonical frame."""
    mean = landmark_shapes(model, _SEED, _SUBJECTS, _EXPRESSIONS).mean(axis=0)
    print(f"NME {score.nme(mean[None], landmarks.MEAN_SHAPE[None])[0]:.4f}", flush=True)
    return mean


def _goal(mean: np.ndarray) -> np.ndarray:
    """Where the mean landmarks shall be: the competition's, but half-way only where lips would have to change their
    form. What a mean over others' expressions says of a mouth at rest is doubtful, and all of it makes people sad."""
    goal, lips = landmarks.MEAN_SHAPE.copy(), landmarks.GROUPS["lips"]
    change = (goal - mean)[lips]
    goal[lips] -= (change - change.mean(axis=0)) / 2
    return goal


def _residual(model: Anatomy, goal: np.ndarray) -> np.ndarray:
    """From the population's mean landmarks to `goal`, (106, 3), in dm of a head that is not turned."""
    scale, turn, _ = head.canonical_transform(head.landmark_points(model, _mean_head(model), {}))
    residual = (goal - _mean_shape(model)) @ turn / scale
    return (residual + landmarks.mirror_points(residual)) / 2


def _fitted_offsets(model: Anatomy) -> dict[str, float]:
    """Offsets with one more step towards the mean shape: least squares with a ridge, within the cap."""
    small = _only_landmarks(model)
    pairs = sorted({people.pair_of(name) for name in people.local_names(small.label_list)})
    pairs = [pair for pair in pairs if not pair.startswith(_LEFT_ALONE)]
    rest = head.to_canonical(head.landmark_points(small, _mean_head(small), {}))
    columns = []
    for pair in pairs:
        weights = {
            f"local+:{name}": 0.2 for name in people.local_names(small.label_list) if people.pair_of(name) == pair
        }
        moved = _mean_head(small) + small.displacement(weights)
        columns.append((head.to_canonical(head.landmark_points(small, moved, {})) - rest).ravel() / 0.2)
    present = np.array([people.POPULATION.get(pair, 0.0) for pair in pairs])
    jacobian, residual = np.stack(columns, axis=1), (landmarks.MEAN_SHAPE - _mean_shape(model)).ravel()
    ridge = np.eye(len(pairs)) * _RIDGE * np.sqrt(len(residual))
    matrix = np.concatenate([jacobian, ridge])
    target = np.concatenate([residual + jacobian @ present, np.zeros(len(pairs))])
    return dict(zip(pairs, lsq_linear(matrix, target, (-_CAP, _CAP)).x.tolist(), strict=True))


def _pitch(mean: np.ndarray) -> float:
    """By how many degrees the mean landmarks (106, 3) still nod against the competition's: head's constant tilt
    should take most of that up, rather than the warp."""
    centered, target = mean - mean.mean(axis=0), landmarks.MEAN_SHAPE - landmarks.MEAN_SHAPE.mean(axis=0)
    u, _, vt = np.linalg.svd(target.T @ centered)
    turn = u @ vt
    return float(np.rad2deg(np.arctan2(turn[1, 2], turn[2, 2])))


def _mean_head(model: Anatomy) -> np.ndarray:
    return model.vertices + model.displacement(people.mean_weights(model.label_list))


def _only_landmarks(model: Anatomy) -> Anatomy:
    """The anatomy with no vertices but those that landmarks hang on: twenty times as fast."""
    names = ("landmark", "left_eye", "right_eye", "left_lid", "right_lid")
    numbers = {f"{name}_vertices": getattr(model, f"{name}_vertices") for name in names}
    used = np.unique(np.concatenate([vertices.ravel() for vertices in numbers.values()]))
    return replace(
        model,
        vertices=model.vertices[used],
        shapes=model.shapes[:, used].astype(np.float32),
        **{name: np.searchsorted(used, vertices) for name, vertices in numbers.items()},
    )


def _write(path: Path, value: dict | list) -> None:
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
