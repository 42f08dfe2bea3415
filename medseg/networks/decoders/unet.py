"""The U-Net's expanding path over any encoder; the paper's whole network is `original.UNetOriginal`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from medseg.errors import MedsegError
from medseg.networks.blocks import ConvNorm


class UNet(nn.Module):
    """Double, put the encoder's features beside, convolve twice; up to the input's own grid.

    Args:
        widths: channels at strides 16, 8, 4, 2 and 1.
    """

    scores = False

    def __init__(
        self,
        dims: int,
        channels: Sequence[int],
        strides: Sequence[int],  # noqa: ARG002  (all decoders are called alike)
        *,
        norm: str = "batch",
        widths: Sequence[int] = (256, 128, 64, 32, 16),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if len(widths) != 5:
            raise MedsegError(f"widths={tuple(widths)}", "five, for strides 16, 8, 4, 2 and 1", "give five")
        skips = [*channels[-2::-1], 0]
        below = [channels[-1], *widths[:-1]]
        self.convs = nn.ModuleList(
            nn.Sequential(ConvNorm(dims, b + s, w, norm=norm), ConvNorm(dims, w, w, norm=norm))
            for b, s, w in zip(below, skips, widths, strict=True)
        )
        self.dropout = nn.Dropout(dropout)
        self.channels = tuple(widths[:0:-1])

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """Maps at strides 1, 2, 4 and 8."""
        x = features[4]
        maps: list[torch.Tensor] = []
        for i, convs in enumerate(self.convs):
            if i < 4:
                skip = features[3 - i]
                if x.shape[2:] != skip.shape[2:]:
                    x = F.interpolate(x, size=skip.shape[2:], mode="nearest")
                x = torch.cat([x, skip], 1)
            else:
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = convs(x)
            maps.append(x)
        return [self.dropout(maps[4]), maps[3], maps[2], maps[1]]
