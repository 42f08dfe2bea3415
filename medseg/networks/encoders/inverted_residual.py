"""Encoders of inverted residuals without squeezing: MobileNetV2 and EfficientNet-Lite0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from medseg.networks.blocks import CONV, initialise, norm_layer
from medseg.networks.encoders.encoder import Encoder
from medseg.networks.encoders.strides import feature_strides, stage_steps


class Row(NamedTuple):
    """One line of the papers' tables: expansion, channels, blocks, stride of the first, kernel."""

    expansion: int
    channels: int
    blocks: int
    stride: int
    kernel: int


class Plan(NamedTuple):
    """What tells one such network from another.

    `same` is TensorFlow's padding (strided kernels lean to the end), which weights trained there need.
    """

    rows: tuple[Row, ...]
    head: int
    same: bool
    eps: float
    momentum: float


PLANS: Mapping[str, Plan] = {
    # Sandler 2018, table 2; torchvision's padding and norm.
    "mobilenetv2": Plan(
        (
            Row(1, 16, 1, 1, 3),
            Row(6, 24, 2, 2, 3),
            Row(6, 32, 3, 2, 3),
            Row(6, 64, 4, 2, 3),
            Row(6, 96, 3, 1, 3),
            Row(6, 160, 3, 2, 3),
            Row(6, 320, 1, 1, 3),
        ),
        head=1280,
        same=False,
        eps=1e-5,
        momentum=0.1,
    ),
    # Tan 2019, table 1, without squeeze-and-excitation and with ReLU6, as Google published it in 2020.
    "efficientnet-lite0": Plan(
        (
            Row(1, 16, 1, 1, 3),
            Row(6, 24, 2, 2, 3),
            Row(6, 40, 2, 2, 5),
            Row(6, 80, 3, 2, 3),
            Row(6, 112, 3, 1, 5),
            Row(6, 192, 4, 2, 5),
            Row(6, 320, 1, 1, 3),
        ),
        head=1280,
        same=True,
        eps=1e-3,
        momentum=0.01,
    ),
}


class ConvNorm6(nn.Module):
    """Convolution, normalisation and, unless told, ReLU6, with either way of padding."""

    def __init__(
        self,
        dims: int,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        plan: Plan,
        norm: str,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        act: bool = True,
    ) -> None:
        super().__init__()
        leans = plan.same and stride == 2
        # On a grid of even size TensorFlow adds kernel - 2 voxels, the odd one at the end.
        self.lean = [(kernel - 2) // 2, (kernel - 2) - (kernel - 2) // 2] * dims if leans else [0]
        self.conv = CONV[dims](
            in_channels,
            out_channels,
            kernel,
            stride,
            padding=0 if leans else dilation * (kernel // 2),
            dilation=dilation,
            groups=groups,
            bias=norm == "none",
        )
        self.norm = norm_layer(norm, dims, out_channels, eps=plan.eps, momentum=plan.momentum)
        self.act = nn.ReLU6(inplace=True) if act else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, *S) to (B, out_channels, *S / stride)."""
        if len(self.lean) > 1:
            x = F.pad(x, self.lean)
        return self.act(self.norm(self.conv(x)))


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow without activation (Sandler 2018, figure 3b)."""

    def __init__(
        self,
        dims: int,
        in_channels: int,
        row: Row,
        *,
        stride: int,
        dilation: int,
        plan: Plan,
        norm: str,
    ) -> None:
        super().__init__()
        wide = in_channels * row.expansion
        self.expand = (
            ConvNorm6(dims, in_channels, wide, 1, plan=plan, norm=norm)
            if row.expansion > 1
            else nn.Identity()
        )
        self.depthwise = ConvNorm6(
            dims, wide, wide, row.kernel, stride=stride, dilation=dilation, groups=wide, plan=plan, norm=norm
        )
        self.project = ConvNorm6(dims, wide, row.channels, 1, act=False, plan=plan, norm=norm)
        self.around = stride == 1 and in_channels == row.channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, *S) to (B, row.channels, *S / stride)."""
        y: torch.Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.around else y


class MobileEncoder(Encoder):
    """Five feature maps, of strides 2 to 32 or up to `output_stride`; `channels` says how wide each is."""

    def __init__(
        self, name: str, dims: int, in_channels: int, *, output_stride: int = 32, norm: str = "batch"
    ) -> None:
        super().__init__()
        plan = PLANS[name]
        self.stem = ConvNorm6(dims, in_channels, 32, 3, stride=2, plan=plan, norm=norm)
        steps = iter([(2, 1, 1), *stage_steps(output_stride)])
        groups: list[list[nn.Module]] = [[]]
        channels, wide, before, after = 32, [], 1, 1
        for row in plan.rows:
            stride = 1
            if row.stride == 2:
                stride, before, after = next(steps)
                wide.append(channels)
                groups.append([])
            for j in range(row.blocks):
                first = j == 0 and row.stride == 2
                groups[-1].append(
                    InvertedResidual(
                        dims,
                        channels,
                        row,
                        stride=stride if first else 1,
                        dilation=before if first else after,
                        plan=plan,
                        norm=norm,
                    )
                )
                channels = row.channels
        self.stage1, self.stage2, self.stage3, self.stage4, self.stage5 = (nn.Sequential(*g) for g in groups)
        self.channels = (*wide, channels)
        self.strides = feature_strides(output_stride)
        initialise(self)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features from fine to coarse; the input's size is to be a multiple of the output stride."""
        x2 = self.stage1(self.stem(x))
        x4 = self.stage2(x2)
        x8 = self.stage3(x4)
        x16 = self.stage4(x8)
        return [x2, x4, x8, x16, self.stage5(x16)]

    def stages(self) -> list[list[nn.Module]]:
        """What belongs together when layers are frozen, from the input on."""
        return [[self.stem, self.stage1], [self.stage2], [self.stage3], [self.stage4], [self.stage5]]
