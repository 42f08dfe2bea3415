"""DeepLabV3 (Chen 2017) and DeepLabV3+ (Chen 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from medseg.errors import MedsegError
from medseg.networks.blocks import AVERAGE_POOL, CONV, LINEAR, ConvNorm, atrous, pooled_norm, resize


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling with image pooling (Chen 2017, section 3.3).

    Args:
        rates: dilations of the 3 x 3 convolutions; the paper's 6, 12, 18 are for output stride 16.
        separable: atrous separable convolutions, as DeepLabV3+ has them.
    """

    def __init__(
        self,
        dims: int,
        in_channels: int,
        out_channels: int,
        *,
        rates: Sequence[int],
        separable: bool,
        norm: str,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.point = ConvNorm(dims, in_channels, out_channels, 1, norm=norm)
        self.holes = nn.ModuleList(
            atrous(dims, in_channels, out_channels, dilation=rate, norm=norm, separable=separable)
            for rate in rates
        )
        self.image = nn.Sequential(
            AVERAGE_POOL[dims](1),
            CONV[dims](in_channels, out_channels, 1, bias=norm != "batch"),
            pooled_norm(norm, out_channels),
            nn.ReLU(inplace=True),
        )
        self.project = ConvNorm(dims, out_channels * (2 + len(rates)), out_channels, 1, norm=norm)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, *S) to (B, out_channels, *S)."""
        branches = [self.point(x)]
        for hole in self.holes:
            branches.append(hole(x))
        image = self.image(x)
        branches.append(image.expand_as(branches[0]))
        return self.dropout(self.project(torch.cat(branches, 1)))


def paper_rates(output_stride: int) -> tuple[int, ...]:
    """6, 12, 18 at output stride 16, twice that at 8 and half at 32 (Chen 2017, section 4.1).

    >>> paper_rates(8)
    (12, 24, 36)
    """
    return tuple(rate * 16 // output_stride for rate in (6, 12, 18))


class DeepLabV3(nn.Module):
    """ASPP on the deepest features and one 3 x 3 convolution."""

    scores = False

    def __init__(
        self,
        dims: int,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        norm: str = "batch",
        rates: Sequence[int] | None = None,
        separable: bool = False,
        width: int = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        chosen = rates or paper_rates(strides[-1])
        self.aspp = ASPP(
            dims, channels[-1], width, rates=chosen, separable=separable, norm=norm, dropout=dropout
        )
        self.last = atrous(dims, width, width, norm=norm, separable=separable)
        self.channels = (width, channels[3])

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """The map at the output stride, and the encoder's fourth feature."""
        return [self.last(self.aspp(features[4])), features[3]]


class DeepLabV3Plus(nn.Module):
    """ASPP, brought to stride 4 and refined with the encoder's features there (Chen 2018, figure 2).

    Args:
        separable: depthwise separable convolutions in ASPP and decoder, as in the paper.
        low_channels: what the stride-4 features are reduced to; the paper's table 1 finds 48 best.
        refinements: 3 x 3 convolutions at stride 4; one, as elsewhere; the paper's table 2 finds two best.

    Raises:
        MedsegError: no refinement.
    """

    scores = False

    def __init__(
        self,
        dims: int,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        norm: str = "batch",
        rates: Sequence[int] | None = None,
        separable: bool = True,
        width: int = 256,
        low_channels: int = 48,
        refinements: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if refinements < 1:
            raise MedsegError(f"refinements={refinements} for deeplabv3plus", "1 or more", "choose 1, 2 or 3")
        chosen = rates or paper_rates(strides[-1])
        self.mode = LINEAR[dims]
        self.aspp = ASPP(
            dims, channels[-1], width, rates=chosen, separable=separable, norm=norm, dropout=dropout
        )
        self.low = ConvNorm(dims, channels[1], low_channels, 1, norm=norm)
        inputs = [width + low_channels, *[width] * (refinements - 1)]
        self.refine = nn.Sequential(*(atrous(dims, n, width, norm=norm, separable=separable) for n in inputs))
        self.channels = (width, width, channels[3])

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """The map at stride 4, ASPP's at the output stride, and the encoder's fourth feature."""
        low = self.low(features[1])
        deep = self.aspp(features[4])
        fine = self.refine(torch.cat([resize(deep, low.shape[2:], self.mode), low], 1))
        return [fine, deep, features[3]]
