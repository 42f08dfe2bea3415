"""The U-Net's expanding path over any encoder; the paper's whole network is `original.UNetOriginal`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from medseg.errors import MedsegError
from medseg.networks.blocks import CONV, ConvNorm


class UNet(nn.Module):
    """Half the channels on twice the grid, the encoder's features beside, two convolutions, and so on.

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
        below = [channels[-1], *widths[:-1]]
        # Narrowing on the coarse grid stands for the paper's up-convolution and costs a quarter of it.
        self.narrow = nn.ModuleList(CONV[dims](b, b // 2, 1) for b in below[:4])
        self.convs = nn.ModuleList(
            _twice(dims, b // 2 + skip, w, norm)
            for b, skip, w in zip(below[:4], channels[-2::-1], widths[:4], strict=True)
        )
        self.finest = _twice(dims, widths[3], widths[4], norm)
        self.dropout = nn.Dropout(dropout)
        self.channels = tuple(widths[:0:-1])

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """Maps at strides 1, 2, 4 and 8."""
        x = features[4]
        maps: list[torch.Tensor] = []
        for i, (narrow, convs) in enumerate(zip(self.narrow, self.convs)):  # noqa: B905  (TorchScript: no strict)
            skip = features[3 - i]
            x = narrow(x)
            if x.shape[2:] != skip.shape[2:]:
                x = F.interpolate(x, size=skip.shape[2:], mode="nearest")
            x = convs(torch.cat([x, skip], 1))
            maps.append(x)
        finest = self.finest(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return [self.dropout(finest), maps[3], maps[2], maps[1]]


def _twice(dims: int, in_channels: int, out_channels: int, norm: str) -> nn.Module:
    return nn.Sequential(
        ConvNorm(dims, in_channels, out_channels, norm=norm),
        ConvNorm(dims, out_channels, out_channels, norm=norm),
    )
