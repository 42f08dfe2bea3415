"""Encoders by name: feature maps at strides 2, 4, 8, 16 and 32, dilated where the output stride asks."""

from __future__ import annotations

from typing import Any

from medseg.errors import MedsegError
from medseg.networks.encoders.efficientnet import NAMES as _EFFICIENTNETS
from medseg.networks.encoders.efficientnet import EfficientNet
from medseg.networks.encoders.encoder import Encoder
from medseg.networks.encoders.inverted_residual import PLANS, MobileEncoder
from medseg.networks.encoders.resnet import DEPTHS, ResNet

__all__ = ["NAMES", "EfficientNet", "Encoder", "MobileEncoder", "ResNet", "build_encoder"]

NAMES: tuple[str, ...] = (*DEPTHS, *_EFFICIENTNETS, *PLANS)


def build_encoder(
    name: str,
    spatial_dims: int,
    in_channels: int,
    *,
    output_stride: int = 32,
    norm: str = "batch",
    **options: Any,
) -> Encoder:
    """The encoder of that name; `options` reach it (`width` for the ResNets).

    Its `forward` gives a list of five features from fine to coarse, for inputs whose size is a multiple of
    `output_stride`; `channels` and `strides` describe them.

    Raises:
        MedsegError: an unknown name, norm, output stride or option.
    """
    if name not in NAMES:
        raise MedsegError(f"encoder {name!r}", f"one of {', '.join(NAMES)}", "choose one of these names")
    if norm not in ("batch", "instance", "group"):
        raise MedsegError(f"norm={norm!r} for encoder {name!r}", "batch, instance or group", "choose one")
    if options and (name not in DEPTHS or set(options) != {"width"}):
        raise MedsegError(
            f"encoder options {sorted(options)} for {name!r}",
            "width for the ResNets, none for the others",
            "leave them out",
        )
    if name in DEPTHS:
        return ResNet(name, spatial_dims, in_channels, output_stride=output_stride, norm=norm, **options)
    make = EfficientNet if name in _EFFICIENTNETS else MobileEncoder
    return make(name, spatial_dims, in_channels, output_stride=output_stride, norm=norm)
