"""What every structure must be able to do: learn a few real samples by heart, and answer without some of the views."""

import numpy as np
import pytest
import torch

from kpl import faces, score
from kpl.cameras import Shapes
from kpl.networks import FUSIONS, HEADS, LOSSES, SUBSETS, create
from kpl.train import views

SIZE, SAMPLES, STEPS, RATE = 32, 8, 120, 3e-3


@pytest.fixture(scope="module")
def samples(tiny_faces):
    """Pictures (SAMPLES, 3, S, S, 3), shapes (SAMPLES, 106, 3), 2D landmarks (SAMPLES, 3, 106, 2)."""
    store = faces.load(tiny_faces)
    known = views.Views(store, SIZE)
    return [
        torch.from_numpy(np.stack(part))
        for part in zip(*(known[0, row] for row in np.flatnonzero(store.known)[:SAMPLES]))
    ]


def learned(samples, fusion, head, view_dropout=0.0):
    """A network trained on all samples at once, without a second target, dropout or augmentation."""
    pictures, shapes, points2d = samples
    torch.manual_seed(0)
    known = Shapes(shapes.mean(dim=0), shapes.std(dim=0) + 1e-4)
    network = create("test_resnet", SIZE, fusion, "mirrored", head, 0.0, known)
    network.view_dropout = view_dropout
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    for _ in range(STEPS):
        answer = network(pictures)
        loss = LOSSES["l1"](answer.points3d / network.shape_scale, shapes / network.shape_scale)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    return network.eval()


def nme(network, pictures, shapes):
    with torch.inference_mode():
        return score.nme(network(pictures).points3d.numpy(), shapes.numpy()).mean()


@pytest.mark.slow
@pytest.mark.parametrize(
    "fusion, head",
    [("average", "linear")]
    + [(fusion, "fc") for fusion in FUSIONS]
    + [("late", head) for head in HEADS if head != "fc"],
)
def test_every_fusion_and_head_can_learn_samples_by_heart(samples, fusion, head):
    """An NME under 0.01 on its own training samples, where their mean shape stands at 0.08."""
    assert nme(learned(samples, fusion, head), *samples[:2]) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("fusion", FUSIONS)
def test_with_view_dropout_any_views_tell_more_than_the_mean_shape(samples, fusion):
    pictures, shapes, _ = samples
    network = learned(samples, fusion, "fc", view_dropout=0.6)
    mean_shape = score.nme(shapes.mean(dim=0).expand_as(shapes).numpy(), shapes.numpy()).mean()
    for subset in SUBSETS:
        kept = torch.tensor(subset)[:, None, None, None]
        assert nme(network, pictures * kept, shapes) < 0.7 * mean_shape, subset
