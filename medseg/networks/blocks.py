"""The parts that every network is made of, in 2D and 3D."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from medseg.errors import MedsegError

CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
MAX_POOL: dict[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVERAGE_POOL: dict[int, type[nn.AdaptiveAvgPool2d] | type[nn.AdaptiveAvgPool3d]] = {
    2: nn.AdaptiveAvgPool2d,
    3: nn.AdaptiveAvgPool3d,
}
_BATCH: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_INSTANCE: dict[int, type[nn.InstanceNorm2d] | type[nn.InstanceNorm3d]] = {
    2: nn.InstanceNorm2d,
    3: nn.InstanceNorm3d,
}
LINEAR: dict[int, str] = {2: "bilinear", 3: "trilinear"}

NORMS = ("batch", "instance", "group", "none")


def norm_layer(norm: str, dims: int, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> nn.Module:
    """The normalisation of that name with learnt scale and shift.

    Raises:
        MedsegError: a name that is not one of `NORMS`.
    """
    if norm == "batch":
        return _BATCH[dims](channels, eps=eps, momentum=momentum)
    if norm == "instance":
        return _INSTANCE[dims](channels, eps=eps, affine=True)
    if norm == "group":
        return nn.GroupNorm(math.gcd(channels, 8), channels, eps=eps)
    if norm == "none":
        return nn.Identity()
    raise MedsegError(f"norm={norm!r}", f"one of {', '.join(NORMS)}", "choose one of these names")


class PooledNorm(nn.Module):
    """Batch normalisation that bears one value per channel, as image pooling of a batch of one gives.

    The statistics of one value say nothing (and torch refuses them), so the running ones are used there, in
    training as in evaluation. Parameters and buffers are those of torch's batch normalisation.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.running_mean = nn.Buffer(torch.zeros(channels))
        self.running_var = nn.Buffer(torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, *S) normalised per channel."""
        live = self.training and x.numel() > x.shape[1]
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, live)


def pooled_norm(norm: str, channels: int) -> nn.Module:
    """The normalisation after pooling: per batch where `norm` is, else none (one voxel has no statistics)."""
    return PooledNorm(channels) if norm == "batch" else nn.Identity()


class ConvNorm(nn.Module):
    """Convolution that keeps the grid (divided by the stride), normalisation and, unless told, ReLU."""

    def __init__(
        self,
        dims: int,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        norm: str = "batch",
        act: bool = True,
    ) -> None:
        super().__init__()
        self.conv = CONV[dims](
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            groups=groups,
            bias=norm == "none",
        )
        self.norm = norm_layer(norm, dims, out_channels)
        self.act = nn.ReLU(inplace=True) if act else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, *S) to (B, out_channels, *S / stride)."""
        return self.act(self.norm(self.conv(x)))


class Separable(nn.Sequential):
    """Atrous separable convolution: depthwise, then pointwise, each normalised (Chen 2018, section 3.1)."""

    def __init__(
        self, dims: int, in_channels: int, out_channels: int, *, dilation: int = 1, norm: str = "batch"
    ) -> None:
        super().__init__(
            ConvNorm(dims, in_channels, in_channels, dilation=dilation, groups=in_channels, norm=norm),
            ConvNorm(dims, in_channels, out_channels, 1, norm=norm),
        )


def atrous(
    dims: int, in_channels: int, out_channels: int, *, dilation: int = 1, norm: str, separable: bool
) -> nn.Module:
    """A 3 x 3 (x 3) convolution with holes, whole or separable."""
    if separable:
        return Separable(dims, in_channels, out_channels, dilation=dilation, norm=norm)
    return ConvNorm(dims, in_channels, out_channels, dilation=dilation, norm=norm)


def resize(x: torch.Tensor, size: list[int], mode: str) -> torch.Tensor:
    """`x` on a grid of that size by linear interpolation; itself where it already is."""
    if list(x.shape[2:]) == list(size):
        return x
    return F.interpolate(x, size=size, mode=mode, align_corners=False)


def initialise(module: nn.Module) -> None:
    """He's normal weights for convolutions (fan out), ones and zeros for norms, zeros for biases."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
