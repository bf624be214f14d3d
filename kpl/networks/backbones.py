"""Backbones from timm (Wightman, Apache-2.0) as feature extractors, under the competition's short names."""

import logging
from functools import cache

import timm
import torch
from huggingface_hub import HfApi, try_to_load_from_cache
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import PretrainedCfg
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from kpl.errors import BadInput

# The third-placed team's backbones, transformers and a modern convnet, and small ones for a CPU.
BACKBONES = {
    "effb0": "tf_efficientnet_b0.ns_jft_in1k",
    "effb3": "tf_efficientnet_b3.ns_jft_in1k",
    "effb4": "tf_efficientnet_b4.ns_jft_in1k",
    "effb5": "tf_efficientnet_b5.ns_jft_in1k",
    "effb6": "tf_efficientnet_b6.ns_jft_in1k",
    "seresnet152d": "seresnet152d.ra2_in1k",
    "resnest200e": "resnest200e.in1k",
    "resnet200d": "resnet200d.ra2_in1k",
    "vit_small": "vit_small_patch16_224.augreg_in21k_ft_in1k",
    "swin_tiny": "swin_tiny_patch4_window7_224.ms_in1k",
    "convnext_tiny": "convnext_tiny.fb_in22k_ft_in1k",
    "hgnetv2_b0": "hgnetv2_b0.ssld_stage2_ft_in1k",
    "resnet10t": "resnet10t.c3_in1k",
    "resnet18": "resnet18.a1_in1k",
    "mobilenetv3": "mobilenetv3_small_100.lamb_in1k",
}
FINEST_STRIDE = 4  # finer feature maps cost much and carry little
HUB_SECONDS = 3  # to wait for the hub


class Backbone(nn.Module):
    """A timm feature extractor that gives NCHW levels of at least FINEST_STRIDE, the coarsest last."""

    def __init__(self, model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.model = model
        self.first = sum(stride < FINEST_STRIDE for stride in model.feature_info.reduction())
        self.channels = model.feature_info.channels()[self.first :]
        self.channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def standardised(self, pixels: Tensor) -> Tensor:
        """RGB (..., 3, S, S) in 0..1 as the model wants its pictures."""
        return (pixels - self.mean) / self.std

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """(B, `channels` of `create`, S, S) -> levels of (B, C, H, W)."""
        levels = self.model(inputs)[self.first :]
        return [level.permute(0, 3, 1, 2) for level in levels] if self.channels_last else levels


def create(name: str, image_size: int, pretrained: bool, channels: int = 3) -> Backbone:
    """The backbone called `name`, for inputs of `channels` channels (published weights for three are spread over them).
    Raises BadInput for an unknown name or a size that the model cannot take."""
    model_name, config = timm_name(name), _published(name)
    options = {"img_size": image_size} if config.fixed_input_size else {}
    try:
        model = timm.create_model(model_name, features_only=True, pretrained=pretrained, in_chans=channels, **options)
        model.eval()(torch.zeros(1, channels, image_size, image_size))
    except (AssertionError, RuntimeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"backbone {name!r} cannot be used at {image_size} px as a feature extractor "
            f"({str(error).splitlines()[0]}): choose another size or backbone."
        ) from error
    return Backbone(model.train(), config.mean, config.std)


def timm_name(name: str) -> str:
    """The timm model behind a short name; a timm name stands for itself. Raises BadInput for an unknown one."""
    model_name = BACKBONES.get(name, name)
    if not timm.is_model(model_name):
        known = ", ".join(BACKBONES)
        raise BadInput(f"unknown backbone {name!r}: the short names are {known}; timm.list_models() names others.")
    return model_name


def _published(name: str) -> PretrainedCfg:
    """What timm says of a model's published weights; of a model that has none, timm's defaults."""
    return timm.get_pretrained_cfg(timm_name(name)) or PretrainedCfg()


@cache
def operations(name: str, image_size: int) -> int:
    """Floating-point operations of one forward pass of one picture, counted on a model without memory. Raises as
    `create` does."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        create(name, image_size, pretrained=False)  # it passes one picture, to see that it can
    return counter.get_total_flops()


def starting_weights(asked: str, backbone: str) -> str:
    """What the parameter `weights` comes to for a backbone: "timm" (its published weights) or "none" for "auto", said
    in one line; else what was asked for. timm's weights are at hand if they are cached or the hub answers."""
    if asked != "auto":
        return asked
    config = _published(backbone)
    why = _unreachable(config.hf_hub_id) if config.has_weights else "timm publishes none"
    source = "from scratch: " + why if why else "from timm's published weights"
    logging.getLogger("kpl").warning("%s starts %s.", backbone, source)
    return "none" if why else "timm"


def _unreachable(repository: str | None) -> str:
    """Why a repository of weights cannot be had, through a proxy too if one is set; "" if it can, or none is needed."""
    if not repository or isinstance(try_to_load_from_cache(repository, "model.safetensors"), str):
        return ""
    try:
        HfApi().model_info(repository, timeout=HUB_SECONDS)
    except Exception as error:  # noqa: BLE001  whatever HTTP library the hub's client uses raises its own
        return f"the weights' hub cannot be reached ({type(error).__name__})"
    return ""


def load_weights(network: nn.Module, file: str) -> None:
    """Load a safetensors file into `network`. Raises BadInput that names the first layers that do not fit."""
    try:
        found = load_file(file)
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{file} is not a safetensors file that can be read ({error}): give another one.") from error
    expected = network.state_dict()
    wrong = [key for key in expected if key not in found or found[key].shape != expected[key].shape]
    wrong += [key for key in found if key not in expected]
    if wrong:
        raise BadInput(
            f"{file} does not fit this network in {len(wrong)} layers ({', '.join(wrong[:3])}...): "
            "give weights of the same backbone, fusion and head."
        )
    network.load_state_dict(found)
