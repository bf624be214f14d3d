"""The official score of the CVPR2021 PIC challenge (Tianchi 531885), quirks included.

Shapes are (N, 106, 3) arrays of N samples; errors are (N,) in units of the eye-centre distance. A prediction is
aligned to the truth by a similarity over seven landmarks before it is measured, so its pose and scale do not count.
All functions raise BadInput for what the score does not define: NaN or infinity, a wrong shape, coinciding eye
centres or alignment points, no sample.
"""

import numpy as np

from kpl.errors import BadInput
from kpl.landmarks import ALIGN, COUNT, EYE_CENTERS, INNER


def nme(pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """Normalised mean error of each sample over all 106 landmarks, after alignment.

    pred, gt: (N, 106, 3). Returns (N,).

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
    pred, gt = _checked(pred, "prediction"), _checked(gt, "ground truth")
    if len(pred) != len(gt):
        raise BadInput(f"{len(pred)} predictions stand against {len(gt)} ground truths: give the same samples to both.")
    left, right = EYE_CENTERS
    eye_distance = np.linalg.norm(gt[:, left] - gt[:, right], axis=1)
    _refuse_zero(eye_distance, "the eye centres of the ground truth coincide")
    offset = align(pred, gt)
    offset -= gt
    x, y, z = np.moveaxis(offset, 2, 0)
    return np.sqrt(x * x + y * y + z * z) / eye_distance[:, None]  # ten times as fast as numpy's norm over a short axis


def align(pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """`pred` moved onto `gt` by the official similarity over seven landmarks. (N, 106, 3) twice -> (N, 106, 3).

    Two steps differ from the textbook (Umeyama 1991) and are kept as the evaluator has them: where the rotation comes
    out as a reflection its third *column* is negated, and the scale is the ratio of RMS radii, not least squares.
    """
    pred_anchor, gt_anchor = pred[:, ALIGN], gt[:, ALIGN]  # (N, 7, 3), copies
    pred_center, gt_center = (anchor.mean(axis=1, keepdims=True) for anchor in (pred_anchor, gt_anchor))
    pred_anchor -= pred_center
    gt_anchor -= gt_center
    rotation = nearest_orthogonal(gt_anchor.transpose(0, 2, 1) @ pred_anchor)
    rotation[np.linalg.det(rotation) < 0, :, 2] *= -1
    pred_radius = np.sqrt((pred_anchor**2).sum(axis=2).mean(axis=1))
    _refuse_zero(pred_radius, "the seven alignment landmarks of the prediction coincide")
    scale = np.sqrt((gt_anchor**2).sum(axis=2).mean(axis=1)) / pred_radius
    turn = np.ascontiguousarray(
        scale[:, None, None] * rotation.transpose(0, 2, 1)
    )  # or the product takes twice as long
    aligned = pred @ turn
    shift = gt_center - pred_center @ turn
    for axis in range(3):  # three long additions take a third of the time of many short ones
        aligned[:, :, axis] += shift[:, :, axis]
    return aligned


def nearest_orthogonal(matrices: np.ndarray) -> np.ndarray:
    """U V^T of each matrix's SVD U S V^T, its nearest orthogonal matrix: (N, 3, 3) twice.

    By Newton's iteration for the polar factor, X <- (X + X^-T) / 2 with scaling (Higham 1986), on all samples at once:
    a fifth of the time of as many small SVDs, and the same to 1e-14. Matrices near the singular ones go to the SVD.
    """
    size = np.sqrt((matrices**2).sum(axis=(1, 2)))
    singular = np.abs(np.linalg.det(matrices)) <= 1e-6 * size**3
    x = np.where(singular[:, None, None], np.eye(3), matrices).transpose(1, 2, 0)  # (3, 3, N): rows of long vectors
    for _ in range(12):  # five or six are enough for a face
        a, b, c = x
        cofactors = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)])
        inverse = cofactors / (a * cofactors[0]).sum(axis=0)
        scale = np.sqrt(np.sqrt((inverse**2).sum(axis=(0, 1)) / (x**2).sum(axis=(0, 1))))
        previous, x = x, (scale * x + inverse / scale) / 2
        if np.abs(x - previous).max() < 1e-8:  # what is left is the square of this
            break
    nearest = np.ascontiguousarray(x.transpose(2, 0, 1))
    if singular.any():
        u, _, vt = np.linalg.svd(matrices[singular])
        nearest[singular] = u @ vt
    return nearest


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def error_curve(nme: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cumulative error curve as the evaluator builds it: errors ascending with the sentinel 1, and percentages.

    nme: (N,). Returns (N + 1,) errors and (N + 1,) percentages 100 k / (N + 1), the last 100.
    """
    values = np.asarray(nme, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise BadInput(f"the error curve needs one error a sample and at least one sample, not shape {values.shape}.")
    if not np.isfinite(values).all():
        raise BadInput(
            f"sample {np.flatnonzero(~np.isfinite(values))[0]} has an error that is not finite: score it again."
        )
    errors = np.append(np.sort(values), 1.0)
    return errors, 100.0 * np.arange(1, len(errors) + 1) / len(errors)


def auc(nme: np.ndarray, limit: float = 0.1) -> float:
    """Area under the cumulative error curve from its first point up to `limit`, as a share of limit x 100 %.

    nme: (N,). Nothing is counted before the smallest error, as the evaluator has it.
    """
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
        raise BadInput(
            f"the {what} of sample {np.flatnonzero(~finite)[0]} holds NaN or infinity: remove or predict it again."
        )
    return points


def _refuse_zero(lengths: np.ndarray, fault: str) -> None:
    zero = np.flatnonzero(lengths <= 1e-12)
    if len(zero):
        raise BadInput(f"{fault} (sample {zero[0]}): the score is not defined there.")
