import pytest
import torch

from kpl.train import rate


@pytest.mark.parametrize("cycles", [1, 3])
def test_without_warm_up_it_is_torch_s_curve(cycles):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=-(-100 // cycles))
    for step in range(100):
        assert rate(step, 100, 0, cycles) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        theirs.step()


def test_a_warm_up_rises_to_the_full_rate_and_the_cosine_begins_there():
    rates = [rate(step, 50, 10, 1) for step in range(50)]
    assert rates[:10] == pytest.approx([step / 11 for step in range(1, 11)])
    assert rates[10] == 1.0 and rates[10:] == sorted(rates[10:], reverse=True) and rates[-1] < 0.01
