import pytest
import torch
from safetensors.torch import save_file

from kpl import backbones, networks
from kpl.errors import BadInput
from kpl.landmarks import MEAN_SHAPE, mirror_points2d

MEAN, SCALE = torch.from_numpy(MEAN_SHAPE).float().contiguous(), torch.full((106, 3), 0.05)
SIZE = 32


def network(backbone="mobilenetv3", fusion="late", share="all", head="fc", size=SIZE):
    torch.manual_seed(0)
    return networks.FaceNetwork(backbone, size, fusion, share, head, 0.1, MEAN, SCALE)


def pictures(batch=2, size=SIZE):
    return torch.randint(
        0, 256, (batch, 3, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


@pytest.mark.parametrize(
    "fusion, share, head",
    [
        ("late", "all", "fc"),
        ("late", "mirrored", "fc"),
        ("late", "sides", "linear"),
        ("late", "none", "fc"),
        ("average", "all", "linear"),
        ("average", "sides", "fc"),
    ],
)
def test_every_structure_answers_and_learns_in_all_of_its_parts(fusion, share, head):
    net = network(fusion=fusion, share=share, head=head)
    answer = net(pictures())
    assert answer.points3d.shape == (2, 106, 3)
    assert (answer.maps is None) == (fusion == "average")
    loss = answer.points3d.sum()
    if answer.maps is not None:
        assert answer.maps.shape[:3] == (2, 3, 106)
        loss = loss + answer.maps.sum()
    loss.backward()
    assert all(parameter.grad is not None for parameter in net.head.parameters())
    assert all(any(p.grad is not None for p in encoder.parameters()) for encoder in net.fusion.encoders.encoders)


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "swin_tiny", "convnextv2_atto", "effb0"])
def test_transformers_convnets_and_any_timm_name(backbone):
    assert network(backbone, size=64).eval()(pictures(1, 64)).points3d.shape == (1, 106, 3)


def test_short_names_stand_for_timm_models_with_published_weights():
    import timm

    for name in backbones.BACKBONES:
        config = timm.get_pretrained_cfg(backbones.timm_name(name))
        assert config is not None and config.has_weights, name


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


def test_average_treats_all_views_alike_and_late_does_not():
    views = pictures()
    for fusion, head, same in (("average", "linear", True), ("late", "fc", False)):
        net = network(fusion=fusion, head=head).eval()
        with torch.inference_mode():
            torch.nn.init.normal_(
                (net.head.layers[-1] if head == "fc" else net.head.layers).weight, std=0.01
            )  # the fc head starts at zero
            change = (net(views).points3d - net(views[:, [1, 2, 0]]).points3d).abs().max()
        assert (change < 1e-5) == same


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


def test_normalised_points_forget_the_crop():
    points = torch.rand(2, 3, 106, 2)
    assert torch.allclose(networks.normalised(points), networks.normalised(points * 0.5 + 0.2), atol=1e-4)


def test_the_lift_is_added_bounded_and_bends_no_landmark():
    net = network().eval()
    net.lift_bias += 1.0
    answer = net(pictures())
    assert torch.allclose(answer.points3d, (MEAN + SCALE).expand(2, -1, -1), atol=1e-5)
    net.lift_bias += 100.0
    assert torch.allclose(net(pictures()).points3d, (MEAN + networks.LARGEST_LIFT * SCALE).expand(2, -1, -1), atol=1e-5)
    net.lift_bias.zero_()
    net.lift_weight.fill_(1e-3)
    net(pictures()).points3d.sum().backward()
    assert (
        net.fusion.encoders.encoders[0].maps[-1].weight.grad.abs().max() == 0
    )  # the head starts at zero, the lift passes nothing back


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"backbone": "effb99"}, "unknown backbone 'effb99'.*effb5"),
        ({"fusion": "sum"}, "'sum'.*average, late"),
        ({"head": "gru"}, "linear, fc"),
        ({"backbone": "vit_small", "size": 8}, "vit_small"),
    ],
)
def test_what_is_not_known_is_refused_and_the_known_named(wrong, words):
    with pytest.raises(BadInput, match=words):
        network(**wrong)


def test_weights_that_do_not_fit_name_the_layers(tmp_path):
    save_file(network(head="linear").state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(BadInput, match="head.layers.0.weight"):
        backbones.load_weights(network(head="fc"), str(tmp_path / "weights.safetensors"))


def test_a_file_that_is_no_weights_file_is_refused(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"PK not weights")
    with pytest.raises(BadInput, match="weights.safetensors"):
        backbones.load_weights(network(), str(tmp_path / "weights.safetensors"))
