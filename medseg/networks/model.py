"""Encoder, decoder and scores as one network for inputs of any size."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from medseg.networks.blocks import CONV, LINEAR, initialise, resize


class SegmentationNetwork(nn.Module):
    """Scores (logits) per voxel on the input's own grid.

    Inputs whose size is no multiple of the network's stride are continued by their last voxel and the
    scores cut back. With deep supervision the output in training is the stack (B, K, C, *S) of all scales,
    fine to coarse and each on the input's grid, as MONAI's DynUNet gives it; in evaluation (B, C, *S) always.

    Attributes:
        encoder: what `pretrained` fills and `freeze` freezes.
    """

    def __init__(
        self,
        dims: int,
        encoder: nn.Module,
        decoder: nn.Module,
        out_channels: int,
        *,
        multiple: int,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.mode, self.multiple, self.deep_supervision = LINEAR[dims], multiple, deep_supervision
        kept = decoder.channels if deep_supervision else decoder.channels[:1]
        kernel = getattr(decoder, "head_kernel", 1)
        self.heads = nn.ModuleList(
            nn.Identity() if decoder.scores else CONV[dims](c, out_channels, kernel, padding=kernel // 2)
            for c in kept
        )
        initialise(self.heads)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, *S) to (B, out_channels, *S), or (B, K, out_channels, *S): see the class."""
        size = x.shape[2:]
        x = continued(x, self.multiple)
        return cut(self.scored(self.decoder(self.encoder(x)), x.shape[2:]), size)

    def scored(self, maps: list[torch.Tensor], size: list[int]) -> torch.Tensor:
        """The decoder's maps as scores on a grid of that size."""
        scores: list[torch.Tensor] = []
        for i, head in enumerate(self.heads):
            if i == 0 or self.training:
                scores.append(resize(head(maps[i]), size, self.mode))
        if self.deep_supervision and self.training:
            return torch.stack(scores, 1)
        return scores[0]


def continued(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """`x` repeated at the end of each axis up to a multiple, and to two steps where all axes have but one.

    Two, so that the deepest features of a single image have more than one value to normalise.
    """
    pads: list[int] = []
    single = True
    for axis in range(x.dim() - 1, 1, -1):
        n = x.shape[axis]
        more = (multiple - n % multiple) % multiple
        pads += [0, more]
        single = single and n + more == multiple
    if single:
        pads[1] += multiple
    return F.pad(x, pads, mode="replicate") if sum(pads) > 0 else x


def cut(x: torch.Tensor, size: list[int]) -> torch.Tensor:
    """The first `size` voxels of the last axes."""
    first = x.dim() - len(size)
    for axis, n in enumerate(size):
        if x.shape[axis + first] != n:
            x = x.narrow(axis + first, 0, n)
    return x
