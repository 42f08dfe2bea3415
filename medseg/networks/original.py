"""U-Net and SegNet as their papers draw them, with encoders of their own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import nn

from medseg.networks.blocks import CONV, MAX_POOL, TRANSPOSED, ConvNorm, initialise
from medseg.networks.decoders.segnet import pool_with_places, unpool
from medseg.networks.encoders.encoder import Encoder
from medseg.networks.model import SegmentationNetwork, cut

UNET_CHANNELS = (64, 128, 256, 512, 1024)
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class Contracting(Encoder):
    """The U-Net's left side: twice 3 x 3 and ReLU per level, maxima between (Ronneberger 2015, figure 1)."""

    def __init__(
        self, dims: int, in_channels: int, channels: Sequence[int], *, norm: str, valid: bool, dropout: float
    ) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            _twice(dims, a, b, norm, valid) for a, b in zip([in_channels, *channels], channels, strict=False)
        )
        self.pool = MAX_POOL[dims](2)
        self.dropout = nn.Dropout(dropout)
        self.channels = tuple(channels)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features at strides 1, 2, 4 and so on."""
        features: list[torch.Tensor] = []
        for i, level in enumerate(self.levels):
            x = level(self.pool(x) if i > 0 else x)
            features.append(x)
        features[-1] = self.dropout(features[-1])
        return features

    def stages(self) -> list[list[nn.Module]]:
        """What belongs together when layers are frozen, from the input on."""
        return [[level] for level in self.levels]


class Expanding(nn.Module):
    """The U-Net's right side: 2 x 2 up-convolution, the skip beside (cut to fit), twice 3 x 3 and ReLU."""

    scores = False

    def __init__(self, dims: int, channels: Sequence[int], *, norm: str, valid: bool) -> None:
        super().__init__()
        pairs = list(zip(channels[:0:-1], channels[-2::-1], strict=True))
        self.up = nn.ModuleList(TRANSPOSED[dims](deep, fine, 2, stride=2) for deep, fine in pairs)
        self.levels = nn.ModuleList(_twice(dims, 2 * fine, fine, norm, valid) for _, fine in pairs)
        self.channels = tuple(channels[:-1][:4])

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """Maps from fine to coarse, the four finest."""
        x = features[-1]
        maps: list[torch.Tensor] = []
        for i, (up, level) in enumerate(zip(self.up, self.levels)):  # noqa: B905  (TorchScript has no strict)
            x = up(x)
            x = level(torch.cat([middle(features[len(features) - 2 - i], x.shape[2:]), x], 1))
            maps.append(x)
        return maps[::-1][:4]


def middle(x: torch.Tensor, size: list[int]) -> torch.Tensor:
    """The central `size` voxels of each axis; `x` itself where it has that size."""
    for axis, n in enumerate(size):
        if x.shape[axis + 2] != n:
            x = x.narrow(axis + 2, (x.shape[axis + 2] - n) // 2, n)
    return x


def _twice(dims: int, in_channels: int, out_channels: int, norm: str, valid: bool) -> nn.Sequential:
    parts = [
        ConvNorm(dims, in_channels, out_channels, norm=norm),
        ConvNorm(dims, out_channels, out_channels, norm=norm),
    ]
    for part in parts:
        if valid:
            part.conv = CONV[dims](part.conv.in_channels, out_channels, 3, bias=norm == "none")
    return nn.Sequential(*parts)


def unet(
    dims: int,
    in_channels: int,
    out_channels: int,
    *,
    deep_supervision: bool = False,
    channels: Sequence[int] = UNET_CHANNELS,
    norm: str = "none",
    valid: bool = False,
    dropout: float = 0.0,
) -> nn.Module:
    """The U-Net of figure 1 in Ronneberger 2015; without normalisation, as there, unless `norm` is given.

    Args:
        valid: convolutions without padding, as drawn (572 in, 388 out): the input is mirrored outwards so
            that the scores still cover all of it. False keeps each level's size, which is cheaper and now
            usual.
        dropout: share of the deepest features dropped in training (the paper's end of the contracting path).
    """
    encoder = Contracting(dims, in_channels, channels, norm=norm, valid=valid, dropout=dropout)
    decoder = Expanding(dims, channels, norm=norm, valid=valid)
    initialise(encoder)
    initialise(decoder)
    multiple = 2 ** (len(channels) - 1)
    network = SegmentationNetwork(
        dims, encoder, decoder, out_channels, multiple=multiple, deep_supervision=deep_supervision
    )
    return MirroredEdges(network, len(channels) - 1) if valid else network


class MirroredEdges(nn.Module):
    """Gives a network of unpadded convolutions the surroundings it eats (Ronneberger 2015, figure 2)."""

    __jit_unused_properties__ = ("encoder",)

    def __init__(self, network: SegmentationNetwork, depth: int) -> None:
        super().__init__()
        self.network, self.multiple = network, 2**depth
        # Two convolutions a level take four of its voxels: of every level on the way down, of all but the
        # deepest on the way up; and each pooling is to meet an even size.
        shallow = sum(4 * 2**i for i in range(depth))
        self.margin = (2 * shallow + 4 * 2**depth) // 2
        self.rest = (shallow - 2 * self.margin) % self.multiple

    @property
    def encoder(self) -> nn.Module:
        """The network's."""
        return self.network.encoder

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, *S) to (B, out_channels, *S), stacked in training with deep supervision."""
        size = x.shape[2:]
        pads: list[int] = []
        mirrors = True
        for axis in range(x.dim() - 1, 1, -1):
            n = x.shape[axis]
            more = (self.rest - n) % self.multiple
            pads += [self.margin, self.margin + more]
            mirrors = mirrors and n > self.margin + more
        x = nn.functional.pad(x, pads, mode="reflect" if mirrors else "replicate")
        maps: list[torch.Tensor] = self.network.decoder(self.network.encoder(x))
        return cut(self.network.scored(maps, maps[0].shape[2:]), size)


class VGGPooling(Encoder):
    """VGG-16's convolutions with normalisation, and the places of its five poolings' maxima."""

    def __init__(self, dims: int, in_channels: int, *, norm: str) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        for widths in VGG16:
            self.levels.append(_convolutions(dims, [in_channels, *widths], norm))
            in_channels = widths[-1]

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The deepest map, then the places of each pooling, from fine to coarse."""
        found: list[torch.Tensor] = []
        for level in self.levels:
            x, places = pool_with_places(level(x))
            found.append(places)
        return [x] + found  # noqa: RUF005  (TorchScript has no unpacking)

    def stages(self) -> list[list[nn.Module]]:
        """What belongs together when layers are frozen, from the input on."""
        return [[level] for level in self.levels]


class VGGUnpooling(nn.Module):
    """The mirror image of `VGGPooling`; its last convolution is the network's 3 x 3 head."""

    scores = False
    head_kernel = 3

    def __init__(self, dims: int, *, norm: str) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        finer = [widths[-1] for widths in VGG16[:-1]]
        for widths, out in zip(VGG16[:0:-1], finer[::-1], strict=True):
            self.levels.append(_convolutions(dims, [*widths, out], norm))
        self.levels.append(_convolutions(dims, VGG16[0], norm))
        self.channels = (*(widths[-1] for widths in VGG16[:1]), *finer[:3])

    def forward(self, found: list[torch.Tensor]) -> list[torch.Tensor]:
        """Maps at strides 1, 2, 4 and 8."""
        x = found[0]
        maps: list[torch.Tensor] = []
        for i, level in enumerate(self.levels):
            x = level(unpool(x, found[len(found) - 1 - i], [2 * n for n in x.shape[2:]]))
            maps.append(x)
        return maps[::-1][:4]


def _convolutions(dims: int, channels: Sequence[int], norm: str) -> nn.Sequential:
    pairs = itertools.pairwise(channels)
    return nn.Sequential(*(ConvNorm(dims, a, b, norm=norm) for a, b in pairs))


def segnet(
    dims: int, in_channels: int, out_channels: int, *, deep_supervision: bool = False, norm: str = "batch"
) -> nn.Module:
    """The SegNet of figure 2 in Badrinarayanan 2017: VGG-16's 13 convolutions and their mirror image."""
    encoder, decoder = VGGPooling(dims, in_channels, norm=norm), VGGUnpooling(dims, norm=norm)
    initialise(encoder)
    initialise(decoder)
    return SegmentationNetwork(
        dims, encoder, decoder, out_channels, multiple=32, deep_supervision=deep_supervision
    )
