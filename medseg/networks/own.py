"""medseg's own networks: which decoder a name means, and what it stands on unless told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import nn

from medseg.errors import MedsegError
from medseg.networks import decoders, original, pretrained
from medseg.networks.blocks import initialise
from medseg.networks.encoders import build_encoder
from medseg.networks.model import SegmentationNetwork
from medseg.networks.monai_networks import refuse_unknown_options


class Plan(NamedTuple):
    """A decoder, its usual output stride, those it takes, and the paper's whole network if it has one."""

    decoder: Callable[..., nn.Module]
    output_stride: int
    allowed: tuple[int, ...] = (8, 16, 32)
    original: Callable[..., nn.Module] | None = None


PLANS: Mapping[str, Plan] = {
    "fcn": Plan(decoders.FCN, 32),
    "segnet": Plan(decoders.SegNet, 32, (32,), original.segnet),
    "unet": Plan(decoders.UNet, 32, (8, 16, 32), original.unet),
    "pspnet": Plan(decoders.PSPNet, 8),
    "fpn": Plan(decoders.FPN, 32),
    "deeplabv3": Plan(decoders.DeepLabV3, 16),
    "deeplabv3plus": Plan(decoders.DeepLabV3Plus, 16),
}

NAMES: tuple[str, ...] = tuple(PLANS)

DEFAULT_ENCODER = "resnet34"


def build_own(
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
    """The network; `unet` and `segnet` without an encoder are the papers' own."""
    plan = PLANS[name]
    if encoder is None and plan.original is not None:
        if pretrained:
            raise MedsegError(
                f"pretrained={pretrained!r} for {name} without an encoder",
                "an encoder that weights exist for",
                "name one, for example encoder=efficientnet-lite0",
            )
        refuse_unknown_options(name, plan.original, options)
        return plan.original(
            spatial_dims, in_channels, out_channels, deep_supervision=deep_supervision, **options
        )
    return _assembled(
        name,
        (spatial_dims, in_channels, out_channels),
        encoder=encoder or DEFAULT_ENCODER,
        weights=pretrained,
        deep_supervision=deep_supervision,
        options=options,
    )


def _assembled(
    name: str,
    sizes: tuple[int, int, int],
    *,
    encoder: str,
    weights: str | bool | None,
    deep_supervision: bool,
    options: dict[str, Any],
) -> nn.Module:
    (dims, in_channels, out_channels), plan = sizes, PLANS[name]
    stride = options.pop("output_stride", plan.output_stride)
    norm, sha256 = options.pop("norm", "batch"), options.pop("sha256", None)
    encoder_options = options.pop("encoder_options", None) or {}
    if stride not in plan.allowed:
        raise MedsegError(f"output_stride={stride!r} for {name}", f"one of {plan.allowed}", "choose one")
    if sha256 and not weights:
        raise MedsegError(
            "sha256 without pretrained",
            "the weights that it belongs to",
            "give pretrained=FILE, or leave it out",
        )
    refuse_unknown_options(name, plan.decoder, options)
    body = build_encoder(encoder, dims, in_channels, output_stride=stride, norm=norm, **encoder_options)
    if plan.decoder is decoders.FCN:
        options["out_channels"] = out_channels
    top = plan.decoder(dims, body.channels, body.strides, norm=norm, **options)
    initialise(top)
    network = SegmentationNetwork(
        dims, body, top, out_channels, multiple=stride, deep_supervision=deep_supervision
    )
    if weights:
        pretrained.load(network.encoder, encoder, weights, sha256=sha256)
    return network
