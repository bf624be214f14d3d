"""Backbones from timm (Wightman, Apache-2.0) as feature extractors, under the competition's short names."""

import hashlib
import logging
from functools import cache
from pathlib import Path
from typing import NamedTuple

import timm
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from timm.models import PretrainedCfg
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from kpl.config import path
from kpl.errors import BadInput
from kpl.networks.weights import packaged, packaged_file

# The third-placed team's backbones, transformers and a modern convnet, and small ones for a CPU.
BACKBONES = {
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
    # Their weights also come in pip packages.
    "mobilenetv2": "mobilenetv2_100",
    "lite0": "efficientnet_lite0",
    "lite1": "efficientnet_lite1",
    "lite2": "efficientnet_lite2",
}
FINEST_STRIDE = 4  # finer feature maps cost much and carry little
logging.getLogger("timm.models._builder").setLevel(logging.ERROR)  # it warns of the classifier that is left out
HUB_SECONDS = 3  # to wait for the hub's first word


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

    def freeze(self) -> None:
        """Leave the layers up to the finest level as they are: what they know of edges is good for faces, too, and a step
        takes two thirds of the time."""
        names = [name for name, _ in self.model.named_parameters()]
        level = f"{self.model.feature_info.module_name(self.first)}."
        last = max(i for i, name in enumerate(names) if name.startswith((level, level.replace(".", "_", 1))))
        for parameter in list(self.model.parameters())[: last + 1]:
            parameter.requires_grad_(False)

    def standardised(self, pixels: Tensor) -> Tensor:
        """RGB (..., 3, S, S) in 0..1 as the model wants its pictures."""
        return (pixels - self.mean) / self.std

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """(B, `channels` of `create`, S, S) -> levels of (B, C, H, W)."""
        levels = self.model(inputs)[self.first :]
        return [level.permute(0, 3, 1, 2) for level in levels] if self.channels_last else levels


def create(name: str, image_size: int, weights: str = "none", channels: int = 3) -> Backbone:
    """The backbone called `name`, for inputs of `channels` channels (published weights for three are spread over them).
    weights: "none", or as `starting_weights` found them, "hub" or "packaged". Raises BadInput for an unknown name or a size
    that the model cannot take."""
    model_name = timm_name(name)
    config = timm.get_pretrained_cfg(model_name) or PretrainedCfg()  # of a model without published weights, timm's defaults
    options = {"features_only": True, "in_chans": channels, "pretrained": weights in ("hub", "packaged")}
    options |= {"img_size": image_size} if config.fixed_input_size else {}
    if weights == "packaged":
        options["pretrained_cfg_overlay"] = {"state_dict": packaged(model_name)}
    try:
        model = timm.create_model(model_name, **options)
        model.eval()(torch.zeros(1, channels, image_size, image_size))
    except (AssertionError, RuntimeError, ValueError, AttributeError) as error:
        said = f"backbone {name!r} cannot be used at {image_size} px as a feature extractor ({str(error).splitlines()[0]})"
        raise BadInput(f"{said}: choose another size or backbone.") from error
    return Backbone(model.train(), config.mean, config.std)


def timm_name(name: str) -> str:
    """The timm model behind a short name; a timm name stands for itself. Raises BadInput for an unknown one."""
    model_name = BACKBONES.get(name, name)
    if not timm.is_model(model_name):
        known = ", ".join(BACKBONES)
        raise BadInput(f"unknown backbone {name!r}: the short names are {known}; timm.list_models() names others.")
    return model_name


@cache
def operations(name: str, image_size: int) -> int:
    """Floating-point operations of one forward pass of one picture, counted on a model without memory. Raises as
    `create` does."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        create(name, image_size)  # it passes one picture, to see that it can
    return counter.get_total_flops()


class Start(NamedTuple):
    """Where a network starts: what the parameter `weights` came to, and the file that is really loaded."""

    weights: str  # "hub", "packaged", "file", or "none"
    file: str = ""
    sha256: str = ""


def starting_weights(asked: str | Path, backbone: str) -> Start:
    """What the parameter `weights` comes to for a backbone, said in one line.

    asked: "hub" or "packaged" demand the backbone's published weights from there; "auto" takes timm's from the hub or its
    cache if they can be had, else packaged ones, else none; "none"; or a file of a whole network's weights. Raises
    BadInput where what is demanded cannot be had.
    """
    name, ways, why = timm_name(backbone), {"hub": _hub_file, "packaged": packaged_file}, []
    for source in ways if asked == "auto" else () if asked == "none" else (asked,):
        try:
            file = ways[source](name) if source in ways else path(source)
            kind, sha256 = source if source in ways else "file", hashlib.sha256(file.read_bytes()).hexdigest()
            found = Start(kind, str(file), sha256)
            break
        except (BadInput, OSError) as error:
            if asked != "auto":
                raise BadInput(f"weights={asked}: {error}") from None
            why.append(str(error))
    else:
        found = Start("none")
    said = " ".join([f"{backbone} starts from {Path(found.file).name or 'scratch'} ({found.weights}).", *why])
    logging.getLogger("kpl").warning(said)
    return found


def _hub_file(model_name: str) -> Path:
    """timm's published weights, in the hub's cache or downloaded into it. Raises BadInput if they cannot be had."""
    published = timm.get_pretrained_cfg(model_name)
    if published is None or not published.hf_hub_id:
        raise BadInput(f"timm publishes no weights of {model_name}.")
    try:
        file = published.hf_hub_id, "model.safetensors"
        if not try_to_load_from_cache(*file):
            get_hf_file_metadata(hf_hub_url(*file), timeout=HUB_SECONDS)  # once, where a download tries for 25 seconds
        return Path(hf_hub_download(*file, etag_timeout=HUB_SECONDS))
    except Exception as error:  # noqa: BLE001  whatever HTTP library the hub's client uses raises its own
        raise BadInput(f"{published.hf_hub_id} cannot be had from the hub ({type(error).__name__}).") from None
