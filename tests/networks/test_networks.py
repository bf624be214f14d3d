import pytest
import torch
from safetensors.torch import save_file

from kpl import networks
from kpl.cameras import Shapes, normalised
from kpl.errors import BadInput
from kpl.landmarks import MEAN_SHAPE, mirror_points2d
from kpl.networks import LOSSES, backbones, points2d_loss
from kpl.networks.network import mean_answer, without_some

MEAN, SCALE = torch.from_numpy(MEAN_SHAPE).float().contiguous(), torch.full((106, 3), 0.05)
SIZE = 32


def network(backbone="mobilenetv3", fusion="late", share="all", head="fc", size=SIZE, view_dropout=0.0):
    torch.manual_seed(0)
    made = networks.create(backbone, size, fusion, share, head, 0.1, Shapes(MEAN, SCALE))
    made.view_dropout = view_dropout
    return made


def awake(net):
    """`net`, its zero layers filled, so that everything it sees counts."""
    with torch.no_grad():
        for parameter in net.parameters():
            if (parameter == 0).all():
                parameter.normal_(std=0.02)
    return net


def pictures(batch=2, size=SIZE):
    return torch.randint(
        0, 256, (batch, 3, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


@pytest.mark.parametrize("fusion", networks.FUSIONS)
@pytest.mark.parametrize("head", networks.HEADS)
def test_every_fusion_and_head_learns_in_all_of_its_parts_and_is_the_same_after_saving(fusion, head, tmp_path):
    net = network(fusion=fusion, share="mirrored", head=head, view_dropout=0.5)
    truth = torch.full((4, 3, 106, 2), 0.5)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    answer = net(pictures(4))
    shapes = MEAN.expand(4, -1, -1) + 0.01
    loss = LOSSES["l1"](answer.points3d / SCALE, shapes / SCALE)
    if answer.maps is not None:
        loss = loss + points2d_loss(answer.maps, truth)
    loss.backward()
    optimizer.step()
    assert answer.points3d.shape == (4, 106, 3)
    assert answer.maps is None or answer.maps.shape[:3] == (4, 3, 106)
    assert not [name for name, parameter in net.named_parameters() if parameter.grad is None]
    save_file(net.state_dict(), tmp_path / "weights.safetensors")
    again = network(fusion=fusion, share="mirrored", head=head)
    networks.load_weights(again, str(tmp_path / "weights.safetensors"))
    with torch.inference_mode():
        ours, theirs = net.eval()(pictures()), again.eval()(pictures())
    assert torch.equal(ours.points3d, theirs.points3d)


@pytest.mark.parametrize("fusion", networks.FUSIONS)
@pytest.mark.parametrize("share", networks.SHARES)
def test_every_way_of_sharing_answers(fusion, share):
    assert network(fusion=fusion, share=share, head="linear")(pictures()).points3d.shape == (2, 106, 3)


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "swin_tiny", "convnextv2_atto", "efficientnet_b0"])
def test_transformers_convnets_and_any_timm_name(backbone):
    assert network(backbone, size=64).eval()(pictures(1, 64)).points3d.shape == (1, 106, 3)


def test_short_names_stand_for_timm_models_with_published_weights():
    import timm

    for name in backbones.BACKBONES:
        config = timm.get_pretrained_cfg(backbones.timm_name(name))
        assert backbones.timm_name(name) in networks.PACKAGED or config.has_weights, name


@pytest.mark.parametrize("share", ["mirrored", "sides"])
def test_the_sides_share_weights_through_the_mirror(share):
    """A mirrored capture gives the mirrored 2D landmarks in the other side view, exactly."""
    net = network(share=share).eval()
    views = pictures()
    with torch.inference_mode():
        found = networks.spatial_softmax(net(views).maps)
        found_mirrored = networks.spatial_softmax(net(views.flip(3)[:, [2, 1, 0]]).maps)
    for view, other in ((0, 2), (2, 0)):
        expected = torch.from_numpy(mirror_points2d(found[:, view].numpy()))
        assert torch.allclose(found_mirrored[:, other], expected, atol=1e-5)


@pytest.mark.parametrize("share", networks.SHARES)
def test_each_view_is_answered_in_its_own_place(share):
    """Changing one picture changes the maps of that view and of no other."""
    net, views = network(share=share).eval(), pictures(1)
    with torch.inference_mode():
        before = net(views).maps
        for view in range(3):
            changed = views.clone()
            changed[:, view] = 255 - changed[:, view]
            difference = (net(changed).maps - before).abs().amax(dim=(0, 2, 3, 4))
            assert [bool(value > 1e-4) for value in difference] == [v == view for v in range(3)]


@pytest.mark.parametrize("fusion, same", [("average", True), ("late", False), ("early", False), ("channels9", False)])
def test_average_treats_all_views_alike_and_the_others_do_not(fusion, same):
    net, views = awake(network(fusion=fusion)).eval(), pictures()
    with torch.inference_mode():
        change = (net(views).points3d - net(views[:, [1, 2, 0]]).points3d).abs().max()
    assert (change < 1e-5) == same


@pytest.mark.parametrize("fusion", networks.FUSIONS)
@pytest.mark.parametrize("head", ["fc", "sequence"])
def test_a_missing_view_is_answered_without_and_leaks_nothing(fusion, head):
    """What the encoders make of a black picture does not reach the answer: it is the same for a network in training
    mode that drops that view, whatever is in it."""
    net = awake(network(fusion=fusion, head=head)).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.bias.data.normal_()  # so that black pictures have features
    views = pictures()
    whole = net(views).points3d
    black, other = views.clone(), views.clone()
    black[:, 1] = 0
    other[:, 1] = 255 - other[:, 1]
    present = torch.tensor([[True, False, True]]).expand(2, -1)
    pixels = [pictures.permute(0, 1, 4, 2, 3).float() / 255 for pictures in (black, views, other)]
    with torch.inference_mode():
        heard = [mean_answer(net.head(net.fusion(seen, present).vectors), present) for seen in pixels]
        without = net(black)
    assert torch.equal(heard[0], heard[1]) and torch.equal(heard[0], heard[2])
    assert torch.isfinite(without.points3d).all() and (without.points3d - whole).abs().max() > 1e-5


def test_average_without_a_view_is_the_average_of_the_other_two():
    net, views = awake(network(fusion="average")).eval(), pictures()

    def alone(*kept):
        seen = torch.zeros_like(views)
        seen[:, kept] = views[:, kept]
        return net(seen).points3d

    with torch.inference_mode():
        assert torch.allclose(alone(0, 2), (alone(0) + alone(2)) / 2, atol=1e-6)


@pytest.mark.parametrize("fusion", networks.FUSIONS)
def test_no_picture_at_all_is_answered_and_finite(fusion):
    answer = network(fusion=fusion).eval()(torch.zeros(2, 3, SIZE, SIZE, 3, dtype=torch.uint8))
    assert torch.isfinite(answer.points3d).all()


def test_view_dropout_takes_one_or_two_views_evenly_and_never_the_last():
    torch.manual_seed(0)
    present = torch.ones(6000, 3, dtype=torch.bool)
    left = without_some(present, 0.5)
    counts = torch.bincount((left * torch.tensor([1, 2, 4])).sum(dim=1), minlength=8)
    assert counts[0] == 0 and abs(counts[7] - 3000) < 200 and (counts[1:7] - 500).abs().max() < 100
    only = torch.tensor([[False, True, False]]).expand(100, -1)
    assert torch.equal(without_some(only, 1.0), only)


def test_views_are_dropped_in_training_only():
    net, views = awake(network(view_dropout=1.0)), pictures()
    net.eval()
    assert torch.equal(net(views).points3d, net(views).points3d)
    for module in net.modules():
        if not list(module.children()):
            module.eval()  # no dropout, no batch statistics: only the views' draw is left
    net.training = True
    assert not torch.equal(net(views).points3d, net(views).points3d)


def test_spatial_softmax_finds_a_peak_where_it_is():
    maps = torch.zeros(1, 1, 8, 16)
    maps[0, 0, 5, 3] = 50.0
    assert torch.allclose(networks.spatial_softmax(maps), torch.tensor([[[3.5 / 16, 5.5 / 8]]]), atol=1e-4)


def test_mixed_precision_does_not_round_positions():
    maps = torch.rand(2, 106, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(
            networks.spatial_softmax(maps), networks.spatial_softmax(maps.double()).float(), atol=1e-6
        )


def test_answers_are_averaged_over_the_views_that_are_there_without_rounding():
    answers = torch.rand(3, 3, 106, 3)
    present = torch.tensor([[True, True, True], [True, False, True], [False, False, False]])
    with torch.autocast("cpu", torch.bfloat16):
        mean = mean_answer(answers, present)
    expected = torch.stack([answers[0].mean(dim=0), answers[1, [0, 2]].mean(dim=0), torch.zeros(106, 3)])
    assert torch.allclose(mean, expected, atol=1e-6)


def test_normalised_points_forget_the_crop():
    points = torch.rand(2, 3, 106, 2)
    assert torch.allclose(normalised(points), normalised(points * 0.5 + 0.2), atol=1e-4)


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"backbone": "effb99"}, "unknown backbone 'effb99'.*effb5"),
        ({"backbone": "vit_small", "size": 8}, "vit_small"),
    ],
)
def test_what_is_not_known_is_refused_and_the_known_named(wrong, words):
    with pytest.raises(BadInput, match=words):
        network(**wrong)


@pytest.mark.parametrize(
    "other, layer", [({"head": "linear"}, "head.layers.0.weight"), ({"fusion": "early"}, "fusion.missing")]
)
def test_weights_of_another_structure_are_refused_and_name_the_layers(tmp_path, other, layer):
    save_file(network(**other).state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(BadInput, match=f"{layer}.*same backbone, fusion and head"):
        networks.load_weights(network(), str(tmp_path / "weights.safetensors"))


def test_a_file_that_is_no_weights_file_is_refused(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"PK not weights")
    with pytest.raises(BadInput, match="weights.safetensors"):
        networks.load_weights(network(), str(tmp_path / "weights.safetensors"))


def test_the_parameters_know_the_names_that_networks_know():
    from typing import get_args

    from kpl.config import TrainFold

    known = {"fusion": networks.FUSIONS, "head": networks.HEADS, "share": networks.SHARES, "loss": LOSSES}
    for name, table in known.items():
        assert set(get_args(TrainFold.model_fields[name].annotation)) == set(table), name
