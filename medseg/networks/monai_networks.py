"""MONAI's segmentation networks by their class names, as MONAI builds them and without wrapping."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from medseg.errors import MedsegError

# What MONAI asks for and does not default: five levels for the U-Nets, the tutorials' filters elsewhere.
REQUIRED: Mapping[str, Mapping[str, Any]] = {
    "UNet": {"channels": (16, 32, 64, 128, 256), "strides": (2, 2, 2, 2), "num_res_units": 2},
    "AttentionUnet": {"channels": (16, 32, 64, 128, 256), "strides": (2, 2, 2, 2)},
    "BasicUNet": {},
    "BasicUNetPlusPlus": {},
    "DynUNet": {"kernel_size": [3] * 5, "strides": [1, 2, 2, 2, 2], "upsample_kernel_size": [2] * 4},
    "SegResNet": {},
    "SegResNetDS": {},
    "SegResNetDS2": {},
    "VNet": {},
    "HighResNet": {},
    "AHNet": {},
    "MedNeXt": {},
    "MedNeXtS": {},
    "MedNeXtB": {},
    "MedNeXtM": {},
    "MedNeXtL": {},
    "FlexibleUNet": {"backbone": "efficientnet-b0"},
    "UNETR": {"img_size": 96},
    "SwinUNETR": {"feature_size": 24},
}

NAMES: tuple[str, ...] = tuple(REQUIRED)

# How each one is told to return several scales in training.
_DEEP_SUPERVISION: Mapping[str, Mapping[str, Any]] = {
    "DynUNet": {"deep_supervision": True, "deep_supr_num": 2},
    "SegResNetDS": {"dsdepth": 3},
    "SegResNetDS2": {"dsdepth": 3},
    "BasicUNetPlusPlus": {"deep_supervision": True},
    **{name: {"deep_supervision": True} for name in NAMES if name.startswith("MedNeXt")},
}


def build_monai(
    name: str,
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    *,
    encoder: str | None = None,
    pretrained: str | bool | None = None,
    deep_supervision: bool = False,
    **options: Any,
) -> nn.Module:
    """MONAI's own object. Input sizes, activations and output types are MONAI's.

    Raises:
        MedsegError: an encoder, pretrained weights or deep supervision for a class that has none, or an
            option that the class does not take.
    """
    from monai.networks import nets

    arguments = dict(REQUIRED[name])
    if name == "VNet" and spatial_dims == 2:
        arguments["dropout_dim"] = 2
    if deep_supervision:
        arguments |= _supervised(name)
    if encoder is not None or pretrained:
        arguments |= _encoder(name, encoder, pretrained)
    make: Callable[..., nn.Module] = getattr(nets, name)
    refuse_unknown_options(name, make, options)
    return make(
        spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels, **arguments | options
    )


def _supervised(name: str) -> Mapping[str, Any]:
    if name not in _DEEP_SUPERVISION:
        raise MedsegError(
            f"deep_supervision for MONAI's {name}",
            f"one of {', '.join(_DEEP_SUPERVISION)}, or a network of medseg's own",
            "leave deep_supervision out or choose such a network",
        )
    return _DEEP_SUPERVISION[name]


def _encoder(name: str, encoder: str | None, pretrained: str | bool | None) -> Mapping[str, Any]:
    if name != "FlexibleUNet":
        raise MedsegError(
            f"encoder={encoder!r}, pretrained={pretrained!r} for MONAI's {name}",
            "neither: it has an encoder of its own",
            "leave them out, or choose FlexibleUNet or a network of medseg's own",
        )
    if pretrained not in (None, False, True, "monai"):
        raise MedsegError(
            f"pretrained={pretrained!r} for MONAI's FlexibleUNet",
            "pretrained='monai', its own download",
            "choose unet with this encoder for weights of your own",
        )
    chosen = {} if encoder is None else {"backbone": encoder}
    return {**chosen, "pretrained": bool(pretrained)}


def refuse_unknown_options(name: str, make: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Raises MedsegError for an option that `make` does not take, naming those that it does."""
    parameters = inspect.signature(make).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    unknown = sorted(set(options) - set(parameters))
    if unknown:
        raise MedsegError(
            f"option {unknown[0]!r} for network {name!r}",
            f"one of {', '.join(sorted(parameters))}",
            "correct or leave out this option",
        )
