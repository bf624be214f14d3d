"""The score against the official evaluator's own answers (golden_score.npz) and hand-computed values."""

from pathlib import Path

import numpy as np
import pytest

from kpl import score
from kpl.errors import BadInput
from kpl.landmarks import ALIGN, EYE_CENTERS, INNER, MEAN_SHAPE


@pytest.fixture(scope="module")
def golden():
    return np.load(Path(__file__).with_name("golden_score.npz"), allow_pickle=False)


def test_agrees_with_the_official_evaluator(golden):
    """Two of these predictions are mirrored, where the official rotation differs from the usual correction."""
    assert np.abs(score.nme(golden["pred"], golden["gt"]) - golden["nme"]).max() < 1e-9
    assert np.abs(score.inner_nme(golden["pred"], golden["gt"]) - golden["inner_nme"]).max() < 1e-9
    assert abs(score.auc(golden["all_nme"]) - golden["auc"]) < 1e-9
    assert abs(score.failure_rate(golden["all_nme"]) - golden["failure_rate"]) < 1e-9


def test_pose_and_scale_do_not_count():
    angle = np.deg2rad(30)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    assert score.nme((3.0 * MEAN_SHAPE @ turn.T + [1, 2, 3])[None], MEAN_SHAPE[None])[0] < 1e-12


def test_one_landmark_moved_by_one_eye_distance():
    gt, pred = MEAN_SHAPE[None], MEAN_SHAPE[None].copy()
    eye_distance = np.linalg.norm(gt[0, EYE_CENTERS[0]] - gt[0, EYE_CENTERS[1]])
    pred[0, 0, 1] += eye_distance  # on the contour, so no alignment landmark moves
    assert score.nme(pred, gt)[0] == pytest.approx(1 / 106)
    assert score.inner_nme(pred, gt)[0] == pytest.approx(0)
    pred[0, INNER[-1], 1] += eye_distance
    assert score.inner_nme(pred, gt)[0] == pytest.approx(1 / 73)


def test_curve_area_and_failures_by_hand():
    """Errors 0.02 and 0.06: points (0.02, 33.3), (0.06, 66.7), (1, 100); the nearest to 0.1 is 0.06."""
    errors = np.array([0.06, 0.02])
    until_nearest = 0.04 * (100 / 3 + 200 / 3) / 2
    beyond = (0.1 - 0.06) / 0.94 * (0.94 * (200 / 3 + 100) / 2)
    assert score.auc(errors) == pytest.approx((until_nearest + beyond) / 10)
    assert score.failure_rate(errors) == pytest.approx(100 / 3)


def test_a_nearest_point_beyond_the_limit_gives_its_part_back():
    """Errors 0.05 and 0.11: the nearest to 0.1 is 0.11, of whose segment the last sixth lies beyond."""
    segment = 0.06 * (100 / 3 + 200 / 3) / 2
    assert score.auc(np.array([0.05, 0.11])) == pytest.approx(segment * 5 / 6 / 10)


def test_all_errors_beyond_the_limit_score_nothing():
    assert score.auc(np.array([0.3, 0.4])) == 0.0


def test_samples_are_scored_independently():
    rng = np.random.default_rng(0)
    gt = MEAN_SHAPE + rng.normal(0, 0.02, (5, 106, 3))
    pred = MEAN_SHAPE + rng.normal(0, 0.02, (5, 106, 3))
    alone = [score.nme(pred[i : i + 1], gt[i : i + 1])[0] for i in range(5)]
    assert np.allclose(score.nme(pred, gt), alone)


def broken(change):
    points = np.repeat(MEAN_SHAPE[None], 3, axis=0)
    change(points)
    return points


@pytest.mark.parametrize(
    "pred, gt, words",
    [
        (broken(lambda p: p.__setitem__((1, 5, 2), np.nan)), MEAN_SHAPE[None].repeat(3, 0), "prediction of sample 1"),
        (MEAN_SHAPE[None].repeat(3, 0), broken(lambda p: p.__setitem__((2, 5, 2), np.inf)), "ground truth of sample 2"),
        (MEAN_SHAPE, MEAN_SHAPE[None], "shape"),
        (MEAN_SHAPE[None, :68], MEAN_SHAPE[None, :68], "shape"),
        (MEAN_SHAPE[None], MEAN_SHAPE[None].repeat(2, 0), "same samples"),
        (np.empty((0, 106, 3)), np.empty((0, 106, 3)), "no sample"),
        (
            MEAN_SHAPE[None],
            broken(lambda p: p.__setitem__((0, EYE_CENTERS[0]), p[0, EYE_CENTERS[1]]))[:1],
            "eye centres",
        ),
        (np.zeros((1, 106, 3)), MEAN_SHAPE[None], "coincide"),
    ],
)
def test_what_is_not_defined_is_refused(pred, gt, words):
    with pytest.raises(BadInput, match=words):
        score.nme(pred, gt)


@pytest.mark.parametrize("errors", [np.array([]), np.array([0.1, np.nan]), np.zeros((2, 2))])
def test_a_curve_of_nothing_is_refused(errors):
    with pytest.raises(BadInput):
        score.auc(errors)


def test_numbers_too_large_are_refused_not_scored():
    gt = MEAN_SHAPE[None]
    with pytest.raises(BadInput, match="too large"):
        score.nme(gt * 1e200, gt)


def nme_of_one(pred, gt):
    """The official NME of one sample, (106, 3) twice, step by step."""
    pred_center, gt_center = pred[ALIGN].mean(axis=0), gt[ALIGN].mean(axis=0)
    pred_anchor, gt_anchor = pred[ALIGN] - pred_center, gt[ALIGN] - gt_center
    u, _, vt = np.linalg.svd(gt_anchor.T @ pred_anchor)
    rotation = u @ vt
    if np.linalg.det(rotation) < 0:
        rotation[:, 2] *= -1
    scale = np.sqrt((gt_anchor**2).sum(axis=1).mean()) / np.sqrt((pred_anchor**2).sum(axis=1).mean())
    aligned = scale * (pred - pred_center) @ rotation.T + gt_center
    left, right = EYE_CENTERS
    return np.linalg.norm(aligned - gt, axis=1).mean() / np.linalg.norm(gt[left] - gt[right])


def test_all_at_once_is_the_loop_over_samples():
    rng = np.random.default_rng(1)
    gt, pred = (MEAN_SHAPE + rng.normal(0, 0.02, (50, 106, 3)) for _ in range(2))
    one_by_one = [nme_of_one(*shapes) for shapes in zip(pred, gt)]
    assert np.abs(score.nme(pred, gt) - one_by_one).max() < 1e-12
