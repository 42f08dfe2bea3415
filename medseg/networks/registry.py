"""One signature for every network, medseg's own and MONAI's."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from torch import nn

from medseg.errors import MedsegError
from medseg.networks import monai_networks, own

NAMES: tuple[str, ...] = (*own.NAMES, *monai_networks.NAMES)
"""Every name that `build` takes; lower case is medseg's own, MONAI's keep their class names."""


def build(
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
    """The network of that name, 2D or 3D, giving scores (logits) per voxel.

    medseg's own take any size and return (B, out_channels, *S); MONAI's are MONAI's objects.

    Args:
        encoder: what medseg's own stand on, see `medseg.networks.ENCODERS`; `unet` and `segnet` without one
            are the papers' own, the others take resnet34. MONAI's FlexibleUNet has encoders too.
        pretrained: ``"imagenet"`` or a file, see `pretrained.load`; ``sha256=`` beside it is checked. For
            FlexibleUNet ``"monai"``, its own download.
        deep_supervision: in training a stack (B, K, out_channels, *S) of K scales, as DynUNet's; MONAI's
            own way for MONAI's networks.
        options: the decoder's (``rates``, ``widths``, ``separable``, ``dropout`` ...), ``output_stride``,
            ``norm`` (batch, instance, group), ``encoder_options`` (``{"width": 0.5}`` for ResNets); MONAI's
            arguments for MONAI's.

    Raises:
        MedsegError: an unknown name, encoder or option, or a number of dimensions or channels that cannot be.
    """
    if name not in NAMES:
        close = get_close_matches(name, NAMES, n=1, cutoff=0.5)
        raise MedsegError(
            f"network {name!r}",
            f"one of {', '.join(NAMES)}",
            f"did you mean {close[0]!r}?" if close else "choose one of these names",
        )
    if spatial_dims not in (2, 3) or in_channels < 1 or out_channels < 1:
        raise MedsegError(
            f"spatial_dims={spatial_dims}, in_channels={in_channels}, out_channels={out_channels}",
            "two or three dimensions and at least one channel each way",
            "correct the number",
        )
    make = own.build_own if name in own.NAMES else monai_networks.build_monai
    return make(
        name,
        spatial_dims,
        in_channels,
        out_channels,
        encoder=encoder,
        pretrained=pretrained,
        deep_supervision=deep_supervision,
        **options,
    )
