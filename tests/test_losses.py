import torch

from kpl.losses import LOSSES, points2d_loss


def test_l1_by_hand():
    assert LOSSES["l1"](torch.tensor([[1.0, -2.0]]), torch.zeros(1, 2)).item() == 1.5


def test_unknown_2d_landmarks_do_not_count_and_give_no_gradient():
    pred = torch.zeros(2, 3, 106, 2, requires_grad=True)
    gt = torch.full((2, 3, 106, 2), 0.25)
    gt[1] = float("nan")
    loss = points2d_loss(pred, gt)
    loss.backward()
    assert loss.item() == 0.25
    assert torch.isfinite(pred.grad).all() and (pred.grad[1] == 0).all() and (pred.grad[0] != 0).all()


def test_data_without_any_2d_landmarks_cost_nothing():
    assert points2d_loss(torch.zeros(1, 3, 106, 2), torch.full((1, 3, 106, 2), float("nan"))).item() == 0
