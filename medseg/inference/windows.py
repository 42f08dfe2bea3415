"""Where the windows of a volume lie and how much each of their voxels counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Windows:
    """How a volume is cut into windows that a network can take.

    Positions and weights are those of MONAI 1.6's ``sliding_window_inference``, so that scores agree.

    Attributes:
        roi_size: voxels along each axis; 0 or less takes the whole axis.
        overlap: share of a window that the next one covers, in [0, 1).
        mode: ``gaussian`` or ``constant`` weights.
        sigma_scale: standard deviation of the Gaussian, as a share of ``roi_size``.
        batch_size: windows that go through the network together.
        cval: what a volume smaller than the window is padded with.
        skip_below: windows with no voxel above it in any channel are background unseen; None looks at all.
    """

    roi_size: tuple[int, ...]
    overlap: float | tuple[float, ...] = 0.25
    mode: str = "constant"
    sigma_scale: float | tuple[float, ...] = 0.125
    batch_size: int = 1
    cval: float = 0.0
    skip_below: float | None = None

    def sizes(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The window in voxels for a volume of ``shape``."""
        return tuple(roi if roi > 0 else n for roi, n in zip(self.roi_size, shape, strict=True))

    def padding(self, shape: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """Voxels before and after each axis that make the volume as large as a window."""
        missing = [max(roi - n, 0) for roi, n in zip(self.sizes(shape), shape, strict=True)]
        return tuple((m // 2, m - m // 2) for m in missing)

    def starts(self, shape: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """First voxels of the windows along each axis, in the padded volume, ascending."""
        overlaps = self.overlap if isinstance(self.overlap, tuple) else (self.overlap,) * len(shape)
        padded = [n + sum(pad) for n, pad in zip(shape, self.padding(shape), strict=True)]
        return tuple(
            _starts(n, roi, overlap)
            for n, roi, overlap in zip(padded, self.sizes(shape), overlaps, strict=True)
        )

    def weights(self, shape: Sequence[int]) -> torch.Tensor:
        """What each voxel of a window counts, float32, at least a thousandth."""
        sizes = self.sizes(shape)
        if self.mode == "constant":
            return torch.ones(sizes)
        scales = self.sigma_scale if isinstance(self.sigma_scale, tuple) else (self.sigma_scale,) * len(sizes)
        weights = torch.ones(())
        for n, scale in zip(sizes, scales, strict=True):
            x = torch.arange(-(n - 1) / 2, (n - 1) / 2 + 1, dtype=torch.float32)
            weights = weights.unsqueeze(-1) * torch.exp(x**2 / (-2 * (n * scale) ** 2))
        return weights.clamp_(min=max(float(weights.min()), 1e-3))


def _starts(n: int, roi: int, overlap: float) -> tuple[int, ...]:
    step = roi if roi == n else max(int(roi * (1 - overlap)), 1)
    starts = [*range(0, max(n - roi, 0), step), n - roi]
    return tuple(starts)
