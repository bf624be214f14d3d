"""Every large backbone with every head, and each fusion with three of them, at 64 px: one step of training, and one round
through a file."""

import pytest
import torch
from safetensors.torch import save_file

from kpl.cameras import Shapes
from kpl.landmarks import MEAN_SHAPE
from kpl.networks import HEADS, LOSSES, create, load_weights, points2d_loss

LARGE = ["effb3", "effb4", "effb5", "effb6", "seresnet152d", "resnest200e", "resnet200d"]
OTHERS = ["vit_small", "swin_tiny", "convnext_tiny"]
SIZE = 64


class AllHeads(torch.nn.Module):
    """The sum of all heads' answers: a backbone costs much more than a head, and so is stepped once for all of them."""

    def __init__(self, fusion):
        super().__init__()
        self.heads = torch.nn.ModuleList(make(fusion.width, 0.1) for make in HEADS.values())

    def forward(self, vectors):
        return sum(head(vectors) for head in self.heads)


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone, fusion",
    [(backbone, "late") for backbone in LARGE + OTHERS]
    + [(backbone, "average") for backbone in ("effb3", "seresnet152d", "swin_tiny")]
    + [(backbone, "early") for backbone in ("effb4", "resnet200d", "vit_small")]
    + [(backbone, "channels9") for backbone in ("effb5", "resnest200e", "convnext_tiny")],
)
def test_it_builds_learns_and_is_the_same_after_saving(backbone, fusion, tmp_path):
    torch.manual_seed(0)
    mean, scale = torch.from_numpy(MEAN_SHAPE).float().contiguous(), torch.full((106, 3), 0.05)
    network = create(backbone, SIZE, fusion, "mirrored", "sequence", 0.1, Shapes(mean, scale))
    network.view_dropout = 0.3
    network.head = AllHeads(network.fusion)
    views = torch.randint(0, 256, (2, 3, SIZE, SIZE, 3), dtype=torch.uint8)
    answer, shapes = network(views), (mean + 0.01).expand(2, -1, -1)
    loss = LOSSES["l1"](answer.points3d / scale, shapes / scale)
    if answer.maps is not None:
        loss = loss + points2d_loss(answer.maps, torch.full((2, 3, 106, 2), 0.5))
    loss.backward()
    assert not [name for name, parameter in network.named_parameters() if parameter.grad is None]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter -= 1e-4 * parameter.grad
    assert torch.isfinite(loss)

    file = tmp_path / "weights.safetensors"
    save_file(network.state_dict(), file)
    network.eval()
    with torch.inference_mode():
        before = network(views).points3d
        for tensor in network.state_dict().values():
            tensor.zero_()
        assert not torch.equal(network(views).points3d, before)
        load_weights(network, str(file))
        assert torch.equal(network(views).points3d, before)
    file.unlink()  # hundreds of megabytes
