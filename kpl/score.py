"""The official score of the CVPR2021 PIC challenge (Tianchi 531885), quirks included.

Shapes are (N, 106, 3) arrays of N samples; errors are (N,) in units of the eye-centre distance. A prediction is
aligned to the truth by a similarity over seven landmarks before it is measured, so its pose and scale do not count.
All functions raise BadInput for what the score does not define: NaN or infinity, a wrong shape, coinciding eye
centres or alignment points, no sample.
"""

import numpy as np

from kpl.errors import BadInput
from kpl.landmarks import ALIGN, COUNT, EYE_CENTERS, INNER

BLOCK = 400  # samples measured at a time: few enough for the memory to be used again instead of asked for anew
# (7, 3): where the alignment landmarks' numbers stand in a flat shape.
ANCHORS = 3 * np.array(ALIGN)[:, None] + np.arange(3)
REPEATED = np.tile(np.eye(3), COUNT)  # (3, 318): three numbers times it are those numbers, once a landmark


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
    pred, gt = _shaped(pred, "prediction"), _shaped(gt, "ground truth")
    if len(pred) != len(gt):
        raise BadInput(f"{len(pred)} predictions stand against {len(gt)} ground truths: give the same samples to both.")
    left, right = EYE_CENTERS
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
        eye_distance = np.linalg.norm(gt[:, left] - gt[:, right], axis=1)
        _refuse_zero(eye_distance, "the eye centres of the ground truth coincide")
        turn, shift = similarity(pred, gt)
        errors = np.empty(pred.shape[:2])
        for start in range(0, len(pred), BLOCK):
            rows = slice(start, start + BLOCK)
            offset = _moved(pred[rows], turn[rows], shift[rows])
            offset -= gt[rows]
            offset *= offset
            lengths = np.sqrt(offset.reshape(-1, 3) @ np.ones(3))  # a product is the fastest sum over a short axis
            np.divide(lengths.reshape(-1, COUNT), eye_distance[rows, None], out=errors[rows])
    if not np.isfinite(errors).all():  # a number that is not finite makes its landmark's error so: one look for both
        _refuse_not_finite(pred, "prediction")
        _refuse_not_finite(gt, "ground truth")
        raise BadInput("the numbers are too large to be scored: give the landmarks in ordinary units.")
    return errors


def align(pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """`pred` moved onto `gt` by the official similarity over seven landmarks. (N, 106, 3) twice -> (N, 106, 3)."""
    return _moved(pred, *similarity(pred, gt))


def similarity(pred: np.ndarray, gt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The official similarity over seven landmarks, as (N, 3, 3) to multiply rows with and (N, 3) to add then.

    Two steps differ from the textbook (Umeyama 1991) and are kept as the evaluator has them: where the rotation comes
    out as a reflection its third *column* is negated, and the scale is the ratio of RMS radii, not least squares.
    """
    # Samples come last in here: a small matrix of long vectors is what numpy is fast with.
    pred_anchor, gt_anchor = (points.reshape(-1, COUNT * 3).T[ANCHORS] for points in (pred, gt))  # (7, 3, N)
    pred_center, gt_center = pred_anchor.mean(axis=0), gt_anchor.mean(axis=0)
    pred_anchor -= pred_center
    gt_anchor -= gt_center
    pred_radius, gt_radius = (np.sqrt((anchor**2).sum(axis=(0, 1))) for anchor in (pred_anchor, gt_anchor))
    _refuse_zero(pred_radius, "the seven alignment landmarks of the prediction coincide")
    rotation = nearest_orthogonal(np.einsum("kin,kjn->ijn", gt_anchor, pred_anchor))
    rotation[:, 2] *= np.where(_det(rotation) < 0, -1, 1)
    rotation *= gt_radius / pred_radius
    shift = gt_center - np.einsum("ijn,jn->in", rotation, pred_center)
    return np.ascontiguousarray(rotation.transpose(2, 1, 0)), np.ascontiguousarray(shift.T)


def _moved(points: np.ndarray, turn: np.ndarray, shift: np.ndarray) -> np.ndarray:
    moved = points @ turn
    moved += (shift @ REPEATED).reshape(moved.shape)  # four times as fast as broadcasting three numbers
    return moved


def nearest_orthogonal(matrices: np.ndarray) -> np.ndarray:
    """U V^T of each matrix's SVD U S V^T, its nearest orthogonal matrix: (3, 3, N) twice, samples last.

    In closed form: with the invariants I, II, III of S, the sum of the singular values, of their products in pairs, and
    their product, it is ((I^2 - II) M +- I cof M - M M^T M) / (I II - III), the sign that of det M (by Cayley and
    Hamilton's theorem; Hoger and Carlson 1984). I is the largest root of a quartic, found by Newton's iteration from
    above (Theobald 2005). A tenth of the time of as many small SVDs, and the same to 1e-13; matrices near the singular
    ones, where the sign hangs on rounding, go to the SVD.
    """
    a, b, c = matrices
    cofactors = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)])
    det = (a * cofactors[0]).sum(axis=0)
    third, squares, minors = np.abs(det), (matrices**2).sum(axis=(0, 1)), (cofactors**2).sum(axis=(0, 1))
    singular = third <= 1e-6 * squares**1.5
    first = np.sqrt(squares + 2 * np.sqrt(minors + 2 * third * np.sqrt(3 * squares)))  # I or more
    with np.errstate(divide="ignore", invalid="ignore"):  # of the singular ones, which are done again
        for _ in range(30):  # four are enough for a face
            excess = first**2 - squares  # 2 II
            step = (excess**2 - 8 * third * first - 4 * minors) / (4 * first * excess - 8 * third)
            first -= step
            if not (np.abs(step) > 1e-9 * first).any():  # what is left is of the order of the square of this
                break
        second = (first**2 - squares) / 2
        cubed = np.einsum("ikn,kjn->ijn", matrices, np.einsum("kin,kjn->ijn", matrices, matrices))
        nearest = (first**2 - second) * matrices + np.sign(det) * first * cofactors - cubed
        nearest /= first * second - third
    if singular.any():
        u, _, vt = np.linalg.svd(matrices[:, :, singular].transpose(2, 0, 1))
        nearest[:, :, singular] = (u @ vt).transpose(1, 2, 0)
    return nearest


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def _det(matrices: np.ndarray) -> np.ndarray:
    return (matrices[0] * _cross(matrices[1], matrices[2])).sum(axis=0)


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


def _shaped(points: np.ndarray, what: str) -> np.ndarray:
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 3 or points.shape[1:] != (COUNT, 3):
        raise BadInput(f"the {what} has shape {points.shape}: give (samples, {COUNT}, 3).")
    if not len(points):
        raise BadInput(f"the {what} holds no sample: there is nothing to score.")
    return points


def _refuse_not_finite(points: np.ndarray, what: str) -> None:
    finite = np.isfinite(points).all(axis=(1, 2))
    if not finite.all():
        raise BadInput(
            f"the {what} of sample {np.flatnonzero(~finite)[0]} holds NaN or infinity: remove or predict it again."
        )


def _refuse_zero(lengths: np.ndarray, fault: str) -> None:
    zero = np.flatnonzero(lengths <= 1e-12)
    if len(zero):
        raise BadInput(f"{fault} (sample {zero[0]}): the score is not defined there.")
