"""The names that others give to the layers of our encoders."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch
from torch import nn

from medseg.networks.encoders.inverted_residual import InvertedResidual

# EfficientNet-PyTorch's (and so MONAI's and the Lite0 wheel's) names of an inverted residual's parts.
_PARTS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}


def encoder_keys(state: Mapping[str, torch.Tensor], encoder: nn.Module, name: str) -> dict[str, torch.Tensor]:
    """`state` with the encoder's own names; what is no layer of it (a classifier, a decoder) is left out.

    Understood are medseg's names (with or without ``encoder.`` before them), torchvision's, MONAI's and
    EfficientNet-PyTorch's.
    """
    state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    if any(key.startswith("encoder.") for key in state):
        state = {k.removeprefix("encoder."): t for k, t in state.items() if k.startswith("encoder.")}
    renamed = state
    if any(key.startswith("_blocks.") for key in state):
        renamed = dict(_from_efficientnet(state, encoder, name))
    elif name == "mobilenetv2" and any(key.startswith("features.") for key in state):
        renamed = dict(_from_torchvision_mobilenet(state, encoder))
    own = tuple({key.split(".")[0] + "." for key in encoder.state_dict()})
    return {key: tensor for key, tensor in renamed.items() if key.startswith(own)}


def _places(encoder: nn.Module) -> list[str]:
    """Where the n-th block stands: ``stage2.0`` and so on."""
    stages = [f"stage{i}" for i in range(1, 6)]
    return [f"{s}.{j}" for s in stages for j in range(len(getattr(encoder, s)))]


def _from_efficientnet(
    state: Mapping[str, torch.Tensor], encoder: nn.Module, name: str
) -> Iterator[tuple[str, torch.Tensor]]:
    places, lite = _places(encoder), not name.startswith("efficientnet-b")
    stem = {"_conv_stem": "stem.conv" if lite else "stem", "_bn0": "stem.norm" if lite else "stem_norm"}
    for key, tensor in state.items():
        # MONAI counts blocks through all stacks and puts the stack's number before: _blocks.1.2._expand_conv.
        if found := re.fullmatch(r"_blocks\.(?:\d+\.)?(\d+)\.(\w+)\.(.+)", key):
            place, part, rest = places[int(found.group(1))], found.group(2), found.group(3)
            yield f"{place}.{_PARTS[part] if lite else part}.{rest}", tensor
        elif key.split(".")[0] in stem:
            layer, rest = key.split(".", 1)
            yield f"{stem[layer]}.{rest}", tensor


def _from_torchvision_mobilenet(
    state: Mapping[str, torch.Tensor], encoder: nn.Module
) -> Iterator[tuple[str, torch.Tensor]]:
    layers = {"features.0.0": "stem.conv", "features.0.1": "stem.norm"}
    for n, place in enumerate(_places(encoder), start=1):
        block = encoder.get_submodule(place)
        assert isinstance(block, InvertedResidual)
        widens = not isinstance(block.expand, nn.Identity)
        parts = ["expand", "depthwise"] if widens else ["depthwise"]
        for i, part in enumerate(parts):
            layers[f"features.{n}.conv.{i}.0"] = f"{place}.{part}.conv"
            layers[f"features.{n}.conv.{i}.1"] = f"{place}.{part}.norm"
        layers[f"features.{n}.conv.{len(parts)}"] = f"{place}.project.conv"
        layers[f"features.{n}.conv.{len(parts) + 1}"] = f"{place}.project.norm"
    for key, tensor in state.items():
        layer, _, rest = key.rpartition(".")
        if layer in layers:
            yield f"{layers[layer]}.{rest}", tensor
