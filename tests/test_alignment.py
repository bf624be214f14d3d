import numpy as np
import pytest
import torch

from kpl import score
from kpl.alignment import NearestOrthogonal, align, aligned_nme
from kpl.landmarks import ALIGN, MEAN_SHAPE

GT = MEAN_SHAPE + np.random.default_rng(0).normal(0, 0.02, (16, 106, 3))


def turned(seed):
    """Shapes off the truth, then turned, scaled and shifted at random; every fourth is mirrored."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(16, 3, 3)))
    turn *= np.sign(np.linalg.det(turn))[:, None, None]
    turn[::4, :, 0] *= -1
    return rng.uniform(0.5, 2, (16, 1, 1)) * (GT + rng.normal(0, 0.03, GT.shape)) @ turn + rng.normal(size=(16, 1, 3))


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_it_is_the_scores_own_error_mirrored_shapes_included(dtype, tolerance):
    pred = turned(1)
    ours = aligned_nme(torch.from_numpy(pred).to(dtype), torch.from_numpy(GT).to(dtype))
    assert np.abs(ours.numpy() - score.nme(pred, GT)).max() < tolerance
    moved = align(torch.from_numpy(pred), torch.from_numpy(GT)).numpy()
    assert np.abs(moved - score.align(pred, GT)).max() < 1e-9


def test_the_gradient_is_that_of_finite_differences():
    for shape, gt in zip(turned(2)[:2, None], GT[:2, None]):  # one mirrored, one not
        pred = torch.from_numpy(shape).requires_grad_()
        assert torch.autograd.gradcheck(aligned_nme, (pred, torch.from_numpy(gt)), fast_mode=True)
    matrix = torch.randn(4, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(NearestOrthogonal.apply, matrix)


def test_a_step_along_the_gradient_does_not_turn_or_scale():
    """The error does not depend on the pose, so its gradient has no part along a shift or a scaling."""
    pred = torch.from_numpy(turned(3)).requires_grad_()
    aligned_nme(pred, torch.from_numpy(GT)).sum().backward()
    assert pred.grad.sum(dim=1).abs().max() < 1e-9
    assert (pred.grad * pred.detach()).sum(dim=(1, 2)).abs().max() < 1e-9


@pytest.mark.parametrize("fault", ["alike", "flat", "line", "point"])
def test_degenerate_anchors_leave_the_gradient_finite(fault):
    """Equal singular values, anchors in a plane, on a line, in a point."""
    pred, gt = torch.from_numpy(GT[:2]).float(), torch.from_numpy(GT[:2]).float().clone()
    pred = pred.clone()
    if fault == "alike":
        corners = torch.cat([torch.eye(3), -torch.eye(3), torch.zeros(1, 3)])
        pred[:, ALIGN.tolist()] = gt[:, ALIGN.tolist()] = corners
    else:
        flat = {"flat": [2], "line": [1, 2], "point": [0, 1, 2]}[fault]
        pred[:, :, flat] = 0.0
    pred.requires_grad_()
    aligned_nme(pred, gt).sum().backward()
    assert torch.isfinite(pred.grad).all()
