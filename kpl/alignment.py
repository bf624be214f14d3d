"""The official score as a loss: kpl.score's seven-point similarity in torch, with a gradient through it."""

import torch
from torch import Tensor
from torch.autograd import Function

from kpl.landmarks import ALIGN, EYE_CENTERS

SMALLEST = 1e-6  # of the largest singular value; two that vanish together leave a rotation open


def aligned_nme(pred: Tensor, gt: Tensor) -> Tensor:
    """The normalised mean error of each sample as kpl.score.nme has it. (B, 106, 3) twice -> (B,)."""
    left, right = EYE_CENTERS
    eye_distance = (gt[:, left] - gt[:, right]).norm(dim=1)
    return (align(pred, gt) - gt).norm(dim=2).mean(dim=1) / eye_distance


def align(pred: Tensor, gt: Tensor) -> Tensor:
    """`pred` moved onto `gt` as in kpl.score.align, reflections' negated third column included. (B, 106, 3) twice."""
    anchors = ALIGN.tolist()
    pred_center = pred[:, anchors].mean(dim=1, keepdim=True)
    gt_center = gt[:, anchors].mean(dim=1, keepdim=True)
    pred_anchor = pred[:, anchors] - pred_center  # (B, 7, 3)
    gt_anchor = gt[:, anchors] - gt_center
    rotation = NearestOrthogonal.apply(gt_anchor.transpose(1, 2) @ pred_anchor)  # (B, 3, 3)
    column_sign = torch.ones_like(rotation)
    column_sign[..., 2] = torch.where(torch.linalg.det(rotation.detach()) < 0, -1.0, 1.0)[:, None]
    scale = gt_anchor.flatten(1).norm(dim=1) / pred_anchor.flatten(1).norm(dim=1).clamp_min(1e-6)
    return scale[:, None, None] * (pred - pred_center) @ (rotation * column_sign).transpose(1, 2) + gt_center


class NearestOrthogonal(Function):
    """M (B, 3, 3) -> U V^T of its singular value decomposition U S V^T.

    The gradients of U and V alone grow without bound where two singular values are alike; that of their product has
    sums of singular values below the line, not differences: dR = U W V^T with W_ij = (P_ij - P_ji) / (s_i + s_j) and
    P = U^T dM V (the orthogonal polar factor's derivative: Higham 2008, Functions of Matrices, chapter 8).
    """

    @staticmethod
    def forward(context, matrix: Tensor) -> Tensor:
        u, s, vt = torch.linalg.svd(matrix)
        context.save_for_backward(u, s, vt)
        return u @ vt

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        u, s, vt = context.saved_tensors
        inner = u.transpose(1, 2) @ gradient @ vt.transpose(1, 2)
        sums = (s[:, :, None] + s[:, None, :]).clamp_min(1e-12).maximum(SMALLEST * s[:, :1, None])
        return u @ ((inner - inner.transpose(1, 2)) / sums) @ vt
