"""ResNet (He 2016) as a feature encoder; torchvision's layout and names, so that its weights load."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from medseg.networks.blocks import CONV, MAX_POOL, initialise, norm_layer
from medseg.networks.encoders.encoder import Encoder
from medseg.networks.encoders.strides import feature_strides, stage_steps

# Table 1 of the paper: blocks per stage, and whether a block is a bottleneck.
DEPTHS: Mapping[str, tuple[tuple[int, int, int, int], bool]] = {
    "resnet18": ((2, 2, 2, 2), False),
    "resnet34": ((3, 4, 6, 3), False),
    "resnet50": ((3, 4, 6, 3), True),
    "resnet101": ((3, 4, 23, 3), True),
}


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and the way around them."""

    expansion = 1

    def __init__(
        self, dims: int, in_channels: int, width: int, stride: int, dilations: tuple[int, int], norm: str
    ) -> None:
        super().__init__()
        conv = CONV[dims]
        first, second = dilations
        self.conv1 = conv(in_channels, width, 3, stride, padding=first, dilation=first, bias=False)
        self.bn1 = norm_layer(norm, dims, width)
        self.conv2 = conv(width, width, 3, padding=second, dilation=second, bias=False)
        self.bn2 = norm_layer(norm, dims, width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(dims, in_channels, width, stride, norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, *S) to (B, width, *S / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 (which strides, as torchvision's) and 1 x 1 convolutions and the way around them."""

    expansion = 4

    def __init__(
        self, dims: int, in_channels: int, width: int, stride: int, dilations: tuple[int, int], norm: str
    ) -> None:
        super().__init__()
        conv, out_channels = CONV[dims], width * self.expansion
        self.conv1 = conv(in_channels, width, 1, bias=False)
        self.bn1 = norm_layer(norm, dims, width)
        first, _ = dilations
        self.conv2 = conv(width, width, 3, stride, padding=first, dilation=first, bias=False)
        self.bn2 = norm_layer(norm, dims, width)
        self.conv3 = conv(width, out_channels, 1, bias=False)
        self.bn3 = norm_layer(norm, dims, out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(dims, in_channels, out_channels, stride, norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, *S) to (B, 4 width, *S / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def _shortcut(dims: int, in_channels: int, out_channels: int, stride: int, norm: str) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(
        CONV[dims](in_channels, out_channels, 1, stride, bias=False), norm_layer(norm, dims, out_channels)
    )


class ResNet(Encoder):
    """Five feature maps, of strides 2 to 32 or up to `output_stride`; `channels` says how wide each is.

    Args:
        width: scales the paper's 64 to 512 channels; 1 is the paper's.
    """

    def __init__(
        self,
        name: str,
        dims: int,
        in_channels: int,
        *,
        output_stride: int = 32,
        norm: str = "batch",
        width: float = 1.0,
    ) -> None:
        super().__init__()
        depths, bottleneck = DEPTHS[name]
        block = Bottleneck if bottleneck else BasicBlock
        base = max(8, round(64 * width / 8) * 8)
        self.conv1 = CONV[dims](in_channels, base, 7, 2, padding=3, bias=False)
        self.bn1 = norm_layer(norm, dims, base)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = MAX_POOL[dims](3, 2, padding=1)
        channels, layers = base, []
        for i, (depth, (stride, before, after)) in enumerate(
            zip(depths, [(1, 1, 1), *stage_steps(output_stride)], strict=True)
        ):
            parts: list[nn.Module] = []
            for j in range(depth):
                dilations = (before if j == 0 else after, after)
                parts.append(block(dims, channels, base * 2**i, stride if j == 0 else 1, dilations, norm))
                channels = base * 2**i * block.expansion
            layers.append(nn.Sequential(*parts))
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.channels = (base, *(base * 2**i * block.expansion for i in range(4)))
        self.strides = feature_strides(output_stride)
        initialise(self)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features from fine to coarse; the input's size is to be a multiple of the output stride."""
        x2 = self.relu(self.bn1(self.conv1(x)))
        x4 = self.layer1(self.maxpool(x2))
        x8 = self.layer2(x4)
        x16 = self.layer3(x8)
        return [x2, x4, x8, x16, self.layer4(x16)]

    def stages(self) -> list[list[nn.Module]]:
        """What belongs together when layers are frozen, from the input on."""
        return [[self.conv1, self.bn1], [self.layer1], [self.layer2], [self.layer3], [self.layer4]]
