"""A scan on another grid, made slab by slab as the engine asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from medseg.inference.resampling import resampled
from medseg.inference.sampling import Taps
from medseg.inference.scan import Scan

# Rows made at a time on the way into a slab.
N_ROWS = 16


@dataclass
class ResampledSource:
    """A scan on another grid with parallel axes, made slab by slab.

    Attributes:
        taps: for each axis of the scan, where the points of the new grid lie on it.
        tail: transforms for each slab.
    """

    scan: Scan
    taps: tuple[Taps, ...]
    shape: tuple[int, ...]
    tail: Sequence[Any] = ()
    image_key: str = "image"
    _last: tuple[int, int, torch.Tensor] | None = field(default=None, repr=False)
    _planes: dict[tuple[int, int], npt.NDArray[np.float32]] = field(default_factory=dict, repr=False)

    def rows(self, axis: int, first: int, stop: int) -> torch.Tensor:
        """Points ``first`` to ``stop`` along the axis of the scan's planes, shape (channel, …), float32."""
        if axis != self.taps[2].grid_axis:
            raise ValueError(f"slabs along axis {axis} of a scan stored along another")
        slab = torch.empty((self.scan.n_channels, *self._extent(axis, stop - first)))
        kept = self._reused(slab, axis, first, stop)
        missing = [r for r in range(first, stop) if not kept[0] <= r < kept[1]]
        if missing:
            for low in range(missing[0], missing[-1] + 1, N_ROWS):
                high = min(low + N_ROWS, missing[-1] + 1)
                slab.narrow(axis + 1, low - first, high - low).copy_(self._finished(low, high))
        self._last = (first, stop, slab)
        return slab

    def _extent(self, axis: int, n: int) -> list[int]:
        return [n if a == axis else size for a, size in enumerate(self.shape)]

    def _reused(self, slab: torch.Tensor, axis: int, first: int, stop: int) -> tuple[int, int]:
        """Copy what the last slab had in common with this one; first and stop of it."""
        if self._last is None:
            return (first, first)
        last_first, last_stop, last = self._last
        low, high = max(first, last_first), min(stop, last_stop)
        if high <= low or (low > first and high < stop):
            return (first, first)
        slab.narrow(axis + 1, low - first, high - low).copy_(
            last.narrow(axis + 1, low - last_first, high - low)
        )
        return (low, high)

    def _finished(self, first: int, stop: int) -> torch.Tensor:
        x, y, _ = self.taps
        planes = torch.empty((self.scan.n_channels, stop - first, len(y.low), len(x.low)))
        for c in range(self.scan.n_channels):
            for row in range(first, stop):
                self._fill(planes[c, row - first].numpy(), c, row)
        # From (channel, z, y, x) of the scan to the axes of the grid.
        place = {self.taps[n].grid_axis: 3 - n for n in range(3)}
        slab = planes.permute(0, *(place[a] for a in range(3))).contiguous()
        if not self.tail:
            return slab
        item: dict[str, Any] = {self.image_key: slab}
        for step in self.tail:
            item = step(item)
        return torch.as_tensor(item[self.image_key], dtype=torch.float32)

    def _fill(self, out: npt.NDArray[np.float32], channel: int, row: int) -> None:
        """Put one plane of the new grid into ``out``, shape (y, x)."""
        x, y, z = self.taps
        share = float(z.share[row])
        low = self._plane(channel, int(z.low[row]))
        high = self._plane(channel, int(z.high[row])) if share else low
        resampled(low, high, share, (y.low, y.high, y.share), (x.low, x.high, x.share), out)

    def _plane(self, channel: int, z: int) -> npt.NDArray[np.float32]:
        """One plane of the scan; the last two of each channel are kept."""
        key = (channel, z)
        if key not in self._planes:
            held = [k for k in self._planes if k[0] == channel]
            if len(held) > 1:
                self._planes.pop(held[0])
            self._planes[key] = np.ascontiguousarray(self.scan.plane(channel, z))
        return self._planes[key]
