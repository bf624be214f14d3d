"""The official score of the CVPR2021 PIC challenge (Tianchi 531885), quirks included.

Shapes are (N, 106, 3) arrays of N samples; errors are (N,) in units of the eye-centre distance. A prediction is
aligned to the truth by a similarity over seven landmarks before it is measured, so its pose and scale do not count.
All functions raise BadInput for what the score does not define: NaN or infinity, a wrong shape, coinciding eye centres
or alignment points, no sample.
"""

import numpy as np

from kpl.errors import BadInput
from kpl.landmarks import ALIGN, COUNT, EYE_CENTERS, INNER

_ZERO, _LARGE = 1e-12, "the numbers are too large, not in ordinary units"


def nme(pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """Normalised mean error of each sample over all 106 landmarks, after alignment. (N, 106, 3) twice -> (N,).

    >>> from kpl.landmarks import MEAN_SHAPE
    >>> bool(nme(2 * MEAN_SHAPE[None] + 1, MEAN_SHAPE[None])[0] < 1e-12)
    True
    """
    return landmark_errors(pred, gt).mean(axis=1)


def inner_nme(pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """As `nme`, over the inner face only: all landmarks but the contour."""
    return landmark_errors(pred, gt)[:, INNER].mean(axis=1)


def landmark_errors(pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """Distance of each landmark after alignment, in eye-centre distances. (N, 106, 3) twice -> (N, 106)."""
    return np.linalg.norm(offsets(pred, gt), axis=2)


def offsets(pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """Where each landmark lies off its truth after alignment, in eye-centre distances. (N, 106, 3) twice, and out."""
    pred, gt = _checked(pred, "prediction"), _checked(gt, "ground truth")
    if len(pred) != len(gt):
        raise BadInput(f"{len(pred)} predictions stand against {len(gt)} ground truths: give the same samples to both.")
    left, right = EYE_CENTERS
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
        eye_distance = np.linalg.norm(gt[:, left] - gt[:, right], axis=1)
        _refuse(eye_distance < _ZERO, "the eye centres of the ground truth coincide")
        found = (align(pred, gt) - gt) / eye_distance[:, None, None]
    _refuse(~np.isfinite(found).all(axis=(1, 2)), _LARGE)
    return found


def align(pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """`pred` moved onto `gt` by the official similarity over seven landmarks. (N, 106, 3) twice -> (N, 106, 3).

    Two steps differ from the textbook (Umeyama 1991) and are kept as the evaluator has them: where the rotation comes
    out as a reflection its third *column* is negated, and the scale is the ratio of RMS radii, not least squares.
    """
    pred_center, gt_center = (points[:, ALIGN].mean(axis=1, keepdims=True) for points in (pred, gt))  # (N, 1, 3)
    pred_anchor, gt_anchor = pred[:, ALIGN] - pred_center, gt[:, ALIGN] - gt_center  # (N, 7, 3)
    pred_radius, gt_radius = (np.linalg.norm(anchor, axis=(1, 2)) for anchor in (pred_anchor, gt_anchor))
    _refuse(pred_radius < _ZERO, "the seven alignment landmarks of the prediction coincide")
    _refuse(~np.isfinite(pred_radius * gt_radius), _LARGE)
    u, _, vt = np.linalg.svd(gt_anchor.transpose(0, 2, 1) @ pred_anchor)
    rotation = u @ vt
    rotation[:, :, 2] *= np.where(np.linalg.det(rotation) < 0, -1, 1)[:, None]
    scale = (gt_radius / pred_radius)[:, None, None]
    return scale * (pred - pred_center) @ rotation.transpose(0, 2, 1) + gt_center


def error_curve(nme: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cumulative error curve of errors (N,) as the evaluator builds it: (N + 1,) errors ascending with the sentinel 1,
    and (N + 1,) percentages 100 k / (N + 1), the last 100."""
    values = np.asarray(nme, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise BadInput(f"the error curve needs one error a sample and at least one sample, not shape {values.shape}.")
    _refuse(~np.isfinite(values), "an error is not finite")
    errors = np.append(np.sort(values), 1.0)
    return errors, 100.0 * np.arange(1, len(errors) + 1) / len(errors)


def auc(nme: np.ndarray, limit: float = 0.1) -> float:
    """Area under the cumulative curve of errors (N,), from its first point up to `limit`, as a share of limit x 100 %.
    Nothing is counted before the smallest error, as the evaluator has it."""
    errors, percent = error_curve(nme)
    segments = np.diff(errors) * (percent[1:] + percent[:-1]) / 2
    nearest = int(np.argmin(np.abs(errors - limit)))
    area = segments[:nearest].sum()
    # The curve's nearest point is not at the limit: add or take off the linear share of the segment between.
    segment = nearest if errors[nearest] < limit else nearest - 1
    if 0 <= segment < len(segments) and errors[segment + 1] > errors[segment]:
        share = (limit - errors[nearest]) / (errors[segment + 1] - errors[segment])
        area += share * segments[segment]
    return float(area / (100.0 * limit))


def failure_rate(nme: np.ndarray, limit: float = 0.1) -> float:
    """100 minus the curve's percentage at the point nearest to `limit`: with no failure it is 100 / (N + 1), not 0."""
    errors, percent = error_curve(nme)
    return float(100.0 - percent[np.argmin(np.abs(errors - limit))])


def _checked(points: np.ndarray, what: str) -> np.ndarray:
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 3 or points.shape[1:] != (COUNT, 3):
        raise BadInput(f"the {what} has shape {points.shape}: give (samples, {COUNT}, 3).")
    if not len(points):
        raise BadInput(f"the {what} holds no sample: there is nothing to score.")
    finite = np.isfinite(points).all(axis=(1, 2))
    if not finite.all():
        raise BadInput(f"the {what} of sample {np.argmin(finite)} holds NaN or infinity: remove or predict it again.")
    return points


def _refuse(bad: np.ndarray, fault: str) -> None:
    """Raise BadInput if any sample is `bad` (N,)."""
    if bad.any():
        raise BadInput(f"{fault} (sample {np.argmax(bad)}): the score is not defined there; mend or leave it out.")
