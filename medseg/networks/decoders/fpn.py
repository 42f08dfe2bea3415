"""Feature pyramid network (Lin 2017) with the semantic branch of Kirillov 2019 (figure 3)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from medseg.networks.blocks import CONV, LINEAR, ConvNorm


class FPN(nn.Module):
    """A pyramid of equal width, each level brought to stride 4 step by step, and their sum.

    Args:
        pyramid: channels of the pyramid.
        width: channels of the semantic branch.
        smooth: Lin's 3 x 3 convolution on every merged level. Off unless asked, as in
            segmentation_models.pytorch: the branches' own 3 x 3 follow at once, and at stride 4 it costs more
            than the rest of the decoder.
    """

    scores = False

    def __init__(
        self,
        dims: int,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        norm: str = "batch",
        pyramid: int = 256,
        width: int = 128,
        smooth: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(CONV[dims](c, pyramid, 1) for c in channels[1:])
        self.smooth = nn.ModuleList(
            CONV[dims](pyramid, pyramid, 3, padding=1) if smooth else nn.Identity() for _ in channels[1:]
        )
        self.branches = nn.ModuleList(
            _branch(dims, pyramid, width, strides[1 : i + 1], norm) for i in range(1, len(channels))
        )
        self.dropout = nn.Dropout(dropout)
        self.channels = (width, pyramid, pyramid, pyramid)

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """The sum at stride 4 and the pyramid's levels above it."""
        levels: list[torch.Tensor] = []
        for i, lateral in enumerate(self.lateral):
            levels.append(lateral(features[i + 1]))
        for i in range(len(levels) - 2, -1, -1):
            above, size = levels[i + 1], levels[i].shape[2:]
            levels[i] = levels[i] + F.interpolate(above, size=size, mode="nearest")
        for i, smooth in enumerate(self.smooth):
            levels[i] = smooth(levels[i])
        total = torch.zeros_like(levels[0][:, :1])
        for i, branch in enumerate(self.branches):
            total = total + branch(levels[i])
        return [self.dropout(total), levels[1], levels[2], levels[3]]


def _branch(dims: int, in_channels: int, width: int, strides: Sequence[int], norm: str) -> nn.Module:
    """One convolution per doubling between the finest of `strides` and the last, at least one."""
    parts: list[nn.Module] = []
    for fine, coarse in itertools.pairwise(strides):
        if coarse > fine:
            parts += [
                ConvNorm(dims, in_channels, width, norm=norm),
                nn.Upsample(scale_factor=2.0, mode=LINEAR[dims], align_corners=False),
            ]
            in_channels = width
    return nn.Sequential(*parts) if parts else ConvNorm(dims, in_channels, width, norm=norm)
