"""EfficientNet-B0 to B7: MONAI's layers, freed from the image size that MONAI builds into their padding."""

from __future__ import annotations

import torch
from monai.networks.nets import EfficientNetBNFeatures
from monai.networks.nets.efficientnet import MBConvBlock
from torch import nn

from medseg.networks.encoders.encoder import Encoder
from medseg.networks.encoders.strides import feature_strides, stage_steps

NAMES = tuple(f"efficientnet-b{i}" for i in range(8))

# MONAI's argument for each of our names; groups of eight divide every width of the family.
_NORM = {
    "batch": ("batch", {"eps": 1e-3, "momentum": 0.01}),
    "instance": ("instance", {"affine": True}),
    "group": ("group", {"num_groups": 8}),
}


class EfficientNet(Encoder):
    """Five feature maps, of strides 2 to 32 or up to `output_stride`; `channels` says how wide each is.

    MONAI pads every convolution for the size its classifier was trained on (224 to 600), so that other sizes
    are laid off centre; here strided layers pad as TensorFlow does at even sizes, which is the same thing
    at the trained size, and the others symmetrically. Swish is torch's, which scripts and exports.
    """

    def __init__(
        self, name: str, dims: int, in_channels: int, *, output_stride: int = 32, norm: str = "batch"
    ) -> None:
        super().__init__()
        whole = EfficientNetBNFeatures(
            name, pretrained=False, spatial_dims=dims, in_channels=in_channels, norm=_NORM[norm]
        )
        self.stem_padding, self.stem, self.stem_norm = _lean(dims, 3), whole._conv_stem, whole._bn0
        self.stem_act = nn.SiLU(inplace=True)
        steps = iter([(2, 1, 1), *stage_steps(output_stride)])
        before = after = 1
        groups: list[list[nn.Module]] = [[]]
        for stack in whole._blocks:
            for block in stack:
                dilation, stride = after, 1
                if block.stride == 2:
                    stride, before, after = next(steps)
                    dilation = before
                    groups.append([])
                groups[-1].append(_freed(block, dims, stride, dilation))
        self.stage1, self.stage2, self.stage3, self.stage4, self.stage5 = (nn.Sequential(*g) for g in groups)
        self.channels = tuple(int(g[-1].out_channels) for g in groups)
        self.strides = feature_strides(output_stride)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features from fine to coarse; the input's size is to be a multiple of the output stride."""
        x = self.stem_act(self.stem_norm(self.stem(self.stem_padding(x))))
        x2 = self.stage1(x)
        x4 = self.stage2(x2)
        x8 = self.stage3(x4)
        x16 = self.stage4(x8)
        return [x2, x4, x8, x16, self.stage5(x16)]

    def stages(self) -> list[list[nn.Module]]:
        """What belongs together when layers are frozen, from the input on."""
        first: list[nn.Module] = [self.stem, self.stem_norm, self.stage1]
        return [first, [self.stage2], [self.stage3], [self.stage4], [self.stage5]]


def _lean(dims: int, kernel: int) -> nn.Module:
    before = (kernel - 2) // 2
    padding = (before, kernel - 2 - before) * dims
    return nn.ZeroPad2d(padding) if dims == 2 else nn.ZeroPad3d(padding)


def _freed(block: MBConvBlock, dims: int, stride: int, dilation: int) -> MBConvBlock:
    """The block with padding for any even size, the wished stride and dilation, and torch's swish."""
    conv = block._depthwise_conv
    kernel = conv.kernel_size[0]
    conv.stride, conv.dilation = (stride,) * dims, (dilation,) * dims
    if stride == 2:
        block._depthwise_conv_padding = _lean(dims, kernel)
    else:
        block._depthwise_conv_padding = nn.Identity()
        conv.padding = (dilation * (kernel // 2),) * dims
        # torch's convolution keeps its padding twice, the second time for its other padding modes.
        conv._reversed_padding_repeated_twice = [dilation * (kernel // 2)] * (2 * dims)
    block._swish = nn.SiLU(inplace=True)
    return block
