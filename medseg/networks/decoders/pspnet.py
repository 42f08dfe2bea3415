"""Pyramid scene parsing (Zhao 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from medseg.networks.blocks import CONV, LINEAR, ConvNorm, norm_layer, pooled_norm, resize


class PSPNet(nn.Module):
    """The deepest features beside their means over 1, 2, 3 and 6 bins per axis (figure 3), then 3 x 3.

    Args:
        bins: bins per axis of each level of the pyramid.
        width: channels after the last convolution; the paper's 512.
        kernel: of the last convolution; the authors' 3, or a light 1.
    """

    scores = False

    def __init__(
        self,
        dims: int,
        channels: Sequence[int],
        strides: Sequence[int],  # noqa: ARG002  (all decoders are called alike)
        *,
        norm: str = "batch",
        bins: Sequence[int] = (1, 2, 3, 6),
        width: int = 512,
        kernel: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        deep = channels[-1]
        reduced = deep // len(bins)
        self.mode = LINEAR[dims]
        self.levels = nn.ModuleList(_level(dims, deep, reduced, n, norm) for n in bins)
        self.bottleneck = ConvNorm(dims, deep + reduced * len(bins), width, kernel, norm=norm)
        self.dropout = nn.Dropout(dropout)
        self.channels = (width, channels[3])

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """The map at the output stride, and the encoder's fourth feature (the paper's auxiliary loss)."""
        deep = features[4]
        parts = [deep]
        for level in self.levels:
            parts.append(resize(level(deep), deep.shape[2:], self.mode))
        return [self.dropout(self.bottleneck(torch.cat(parts, 1))), features[3]]


class BinAverage(nn.Module):
    """Means over `n_bins` per axis, as torch's adaptive pooling, which has no ONNX form in 3D."""

    def __init__(self, n_bins: int) -> None:
        super().__init__()
        self.n_bins = n_bins

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, *S) to (B, C, n_bins, ...)."""
        bins = torch.arange(self.n_bins, device=x.device)
        for axis in range(2, x.dim()):
            n = x.shape[axis]
            first, last = bins * n // self.n_bins, ((bins + 1) * n + self.n_bins - 1) // self.n_bins
            place = torch.arange(n, device=x.device)[:, None]
            inside = ((place >= first) & (place < last)).to(x.dtype)
            x = (x.transpose(axis, -1) @ (inside / inside.sum(0))).transpose(axis, -1)
        return x


def _level(dims: int, in_channels: int, out_channels: int, n_bins: int, norm: str) -> nn.Module:
    pooled = n_bins == 1
    return nn.Sequential(
        BinAverage(n_bins),
        CONV[dims](in_channels, out_channels, 1, bias=pooled and norm != "batch"),
        pooled_norm(norm, out_channels) if pooled else norm_layer(norm, dims, out_channels),
        nn.ReLU(inplace=True),
    )
