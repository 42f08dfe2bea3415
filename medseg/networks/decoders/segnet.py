"""SegNet (Badrinarayanan 2017): maps go back to the places where pooling found their maxima."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from medseg.networks.blocks import ConvNorm


def pool_with_places(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Maxima over 2 x 2 (x 2) windows and where each lay, as torch's flat index over space; even sizes.

    The place is that of the first value that is the maximum but for a thousandth of its map's largest
    magnitude. In a padded rim or an empty background all values of a window are equal but for the order of
    float32 sums, which no two runtimes share; by the last bit they would put a value at different places, and
    the scores would differ by per cents. See docs/networks.md.
    """
    values = x.detach()
    if x.dim() == 5:
        top = F.max_pool3d(x, 2)
        return top, F.max_pool3d(_as_good_as_highest(values, top.detach()), 2, return_indices=True)[1]
    top = F.max_pool2d(x, 2)
    return top, F.max_pool2d(_as_good_as_highest(values, top.detach()), 2, return_indices=True)[1]


def _as_good_as_highest(x: torch.Tensor, top: torch.Tensor) -> torch.Tensor:
    """1 where a value is its window's maximum but for the slack above, 0 elsewhere."""
    magnitude = x.abs().flatten(2).amax(2).reshape([x.shape[0], x.shape[1]] + [1] * (x.dim() - 2))
    limit = F.interpolate(top, scale_factor=2.0, mode="nearest") - magnitude / 1024
    return (x >= limit).to(x.dtype)


def unpool(x: torch.Tensor, places: torch.Tensor, size: list[int]) -> torch.Tensor:
    """Each value at the place its maximum came from, zeros elsewhere; `size` is the finer grid."""
    n_voxels = 1
    for n in size:
        n_voxels *= n
    flat = torch.zeros([x.shape[0], x.shape[1], n_voxels], dtype=x.dtype, device=x.device)
    flat = flat.scatter(2, places.flatten(2), x.flatten(2))
    return flat.reshape([x.shape[0], x.shape[1]] + list(size))  # noqa: RUF005  (TorchScript has no unpacking)


class SegNet(nn.Module):
    """Unpooling by the places of the encoder's maxima at strides 2 to 16, convolutions after each.

    The encoders here stride by convolution, so the places are those of the maxima of each feature map over
    the windows that the next one covers. The paper's own encoder, VGG-16 with five poolings, is `SegNetVGG`.

    Args:
        n_convs: convolutions after each unpooling.
    """

    scores = False

    def __init__(
        self,
        dims: int,
        channels: Sequence[int],
        strides: Sequence[int],  # noqa: ARG002  (all decoders are called alike)
        *,
        norm: str = "batch",
        n_convs: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.match = nn.ModuleList()
        self.convs = nn.ModuleList()
        for deep, fine in zip(channels[:0:-1], channels[-2::-1], strict=True):
            self.match.append(ConvNorm(dims, deep, fine, norm=norm))
            self.convs.append(nn.Sequential(*(ConvNorm(dims, fine, fine, norm=norm) for _ in range(n_convs))))
        self.dropout = nn.Dropout(dropout)
        self.channels = tuple(channels[:4])

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """Maps at strides 2, 4, 8 and 16."""
        x = features[4]
        maps: list[torch.Tensor] = []
        for i, (match, convs) in enumerate(zip(self.match, self.convs)):  # noqa: B905  (TorchScript has no strict)
            fine = features[3 - i]
            places = pool_with_places(fine)[1]
            x = convs(unpool(match(x), places, fine.shape[2:]))
            maps.append(x)
        maps = maps[::-1]
        maps[0] = self.dropout(maps[0])
        return maps
