import pytest
import torch

from kpl.landmarks import MEAN_SHAPE
from kpl.networks.losses import LOSSES, cross_entropy, points2d_loss

GT = torch.from_numpy(MEAN_SHAPE).float().expand(2, -1, -1)


@pytest.mark.parametrize(
    "loss, residual, expected",
    [
        ("l1", -2.0, 2.0),
        ("l2", -2.0, 4.0),
        ("smooth_l1", 2.0, 1.5),
        ("smooth_l1", 0.5, 0.125),
    ],
)
def test_losses_by_hand(loss, residual, expected):
    assert LOSSES[loss](GT + residual, GT).item() == pytest.approx(expected, abs=1e-3)


def known_at(x, y):
    return torch.tensor([x, y]).expand(1, 3, 106, 2).clone()


def test_maps_with_their_peak_at_the_truth_cost_least():
    maps = torch.zeros(1, 3, 106, 8, 8)
    maps[..., 2, 5] = 20.0
    at_peak, beside, far = (points2d_loss(maps, known_at(x, 2.5 / 8)).item() for x in (5.5 / 8, 4.5 / 8, 0.5 / 8))
    assert at_peak < 1e-3 < beside < far


def test_cross_entropy_by_hand_between_two_cells():
    """Halfway between two cells of an otherwise impossible map, each with half of the share: log 2."""
    maps = torch.full((1, 4, 4), -50.0)
    maps[0, 1, 1] = maps[0, 1, 2] = 0.0
    assert torch.isclose(cross_entropy(maps, torch.tensor([[0.5, 1.5 / 4]])), torch.tensor(2.0).log())


def test_a_landmark_beyond_the_crop_counts_at_its_edge():
    maps = torch.rand(1, 3, 106, 8, 8)
    assert torch.isclose(
        cross_entropy(maps[0, 0], known_at(-0.3, 1.4)[0, 0]),
        cross_entropy(maps[0, 0], known_at(0.5 / 8, 7.5 / 8)[0, 0]),
        atol=1e-2,
    )


def test_unknown_2d_landmarks_do_not_count_and_give_no_gradient():
    maps = torch.zeros(2, 3, 106, 8, 8, requires_grad=True)
    gt = known_at(0.3, 0.6).repeat(2, 1, 1, 1)
    gt[1] = float("nan")
    points2d_loss(maps, gt).backward()
    assert torch.isfinite(maps.grad).all() and (maps.grad[1] == 0).all() and (maps.grad[0] != 0).any()


def test_data_without_any_2d_landmarks_cost_nothing():
    maps = torch.zeros(1, 3, 106, 8, 8, requires_grad=True)
    loss = points2d_loss(maps, torch.full((1, 3, 106, 2), float("nan")))
    loss.backward()
    assert loss.item() == 0 and (maps.grad == 0).all()
