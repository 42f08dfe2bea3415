"""FCN-8s, 16s and 32s (Long 2015)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from medseg.errors import MedsegError
from medseg.networks.blocks import CONV, TRANSPOSED, ConvNorm


class FCN(nn.Module):
    """Scores of the deepest features, doubled by learnt upsampling and added to those of finer ones.

    The head before the deepest scores is torchvision's (3 x 3 to a quarter of the channels), which stands
    for the paper's fc6 and fc7 of VGG.

    Args:
        stride: 8, 16 or 32: where the summed scores end before plain upsampling, the paper's 8s, 16s and 32s.
    """

    scores = True

    def __init__(
        self,
        dims: int,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        out_channels: int,
        norm: str = "batch",
        stride: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if stride not in (8, 16, 32):
            raise MedsegError(f"stride={stride} for fcn", "8, 16 or 32", "choose FCN-8s, 16s or 32s")
        width = channels[-1] // 4
        self.deepest = nn.Sequential(
            ConvNorm(dims, channels[-1], width, norm=norm),
            nn.Dropout(dropout),
            CONV[dims](width, out_channels, 1),
        )
        n_finer = {32: 0, 16: 1, 8: 2}[stride]
        finer = [3, 2][:n_finer]
        self.finer = nn.ModuleList(CONV[dims](channels[i], out_channels, 1) for i in finer)
        self.doubling = nn.ModuleList(
            _doubling(dims, out_channels) if strides[i + 1] == 2 * strides[i] else nn.Identity()
            for i in finer
        )
        self.channels = (out_channels,) * (1 + n_finer)

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """Scores from fine to coarse."""
        scores = [self.deepest(features[4])]
        for i, (score, doubling) in enumerate(zip(self.finer, self.doubling)):  # noqa: B905  (TorchScript has no strict)
            scores.append(doubling(scores[-1]) + score(features[3 - i]))
        return scores[::-1]


def _doubling(dims: int, channels: int) -> nn.Module:
    """Learnt upsampling by two that begins as linear interpolation (Long 2015, section 3.3)."""
    layer = TRANSPOSED[dims](channels, channels, 4, stride=2, padding=1, groups=channels, bias=False)
    line = torch.tensor([0.25, 0.75, 0.75, 0.25])
    kernel = line
    for _ in range(dims - 1):
        kernel = kernel[..., None] * line
    with torch.no_grad():
        layer.weight.copy_(kernel.expand_as(layer.weight))
    return layer
