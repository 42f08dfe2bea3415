"""One signature for every network, medseg's own and MONAI's."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from torch import nn

from medseg.errors import MedsegError
from medseg.networks import monai_networks

NAMES: tuple[str, ...] = (*monai_networks.NAMES,)
"""Every name that `build` takes; lower case is medseg's own, MONAI's keep their class names."""


def build(
    name: str,
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    *,
    encoder: str | None = None,
    pretrained: str | None = None,
    deep_supervision: bool = False,
    **options: Any,
) -> nn.Module:
    """The network of that name, 2D or 3D.

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
    return monai_networks.build_monai(
        name,
        spatial_dims,
        in_channels,
        out_channels,
        encoder=encoder,
        pretrained=pretrained,
        deep_supervision=deep_supervision,
        **options,
    )
