"""The beginning of a bundle's preprocessing (load, orientation, spacing) done plane by plane.

MONAI's own transforms say where the grid lies, by running lazily on no data; the values are interpolated in
float64 as MONAI does, one axis after the other. What follows (intensities, crops) is left to MONAI: on slabs,
where each voxel is changed by itself, else on the whole volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.data import MetaTensor

from medseg.inference.inferer import way_of
from medseg.inference.resampling import resampled
from medseg.inference.scan import Scan
from medseg.inference.slabs import Source, VolumeSource
from medseg.inference.wayback import WayBack, boxes_of, way_back

LOADING = {"LoadImaged", "EnsureChannelFirstd"}
GRID = {"Orientationd", "Spacingd"}
NEUTRAL = {"EnsureTyped", "ToTensord", "CastToTyped"}
POINTWISE = NEUTRAL | {"ScaleIntensityRanged"}


@dataclass(frozen=True)
class Head:
    """A preprocessing in two parts.

    Attributes:
        grid: transforms that only move the grid.
        tail: what follows them.
    """

    grid: tuple[Any, ...]
    tail: tuple[Any, ...]
    image_key: str

    @property
    def is_pointwise(self) -> bool:
        """True where the tail changes each voxel by itself, so that slabs will do."""
        return all(type(step).__name__ in POINTWISE for step in self.tail)


def head_of(preprocessing: Any, image_key: str) -> Head | None:
    """The two parts, or None where the beginning is none that is known."""
    steps = list(getattr(preprocessing, "transforms", ()))
    names = [type(step).__name__ for step in steps]
    if names[:2] != ["LoadImaged", "EnsureChannelFirstd"] or getattr(preprocessing, "lazy", False):
        return None
    n = 2
    while n < len(names) and names[n] in GRID | NEUTRAL:
        n += 1
    while n > 2 and names[n - 1] in NEUTRAL:
        n -= 1
    if LOADING & set(names[n:]):
        return None
    grid = tuple(step for step, name in zip(steps[2:n], names[2:n], strict=True) if name in GRID)
    return Head(grid, tuple(steps[n:]), image_key)


@dataclass(frozen=True)
class Prepared:
    """A scan ready for the engine.

    Attributes:
        meta: MONAI's, for steps that come after the engine.
    """

    source: Source
    way: WayBack
    meta: dict[str, Any]


def prepared(head: Head, scan: Scan, path: Path, *, only_plan: bool = False) -> Prepared:
    """The scan on the network's grid, in slabs on demand where the tail allows it.

    Args:
        only_plan: make nothing yet; the tail's crops are left out, so the grid is at least as large.

    Raises:
        GeometryError: the grids' axes are not parallel, or the tail moves the grid in an unknown way.
    """
    empty = torch.zeros(1).expand(scan.n_channels, *scan.shape)
    meta = {
        "original_affine": scan.affine,
        "spatial_shape": np.array(scan.shape),
        "filename_or_obj": str(path),
        "space": "RAS",
    }
    item: dict[str, Any] = {
        head.image_key: MetaTensor(empty, affine=torch.as_tensor(scan.affine), meta=dict(meta))
    }
    for step in head.grid:
        item = step(item, lazy=True)
    moved = item[head.image_key]
    shape = tuple(int(n) for n in moved.peek_pending_shape())
    affine = np.asarray(moved.peek_pending_affine(), np.float64)
    operations = [dict(operation) for operation in moved.pending_operations]
    way = way_back(scan.affine, scan.shape, affine, shape, boxes=boxes_of(operations, shape))
    forward = way_back(affine, shape, scan.affine, scan.shape)
    if head.is_pointwise or only_plan:
        return Prepared(
            ResampledSource(scan, forward, shape, head.tail, head.image_key),
            way,
            {**meta, "affine": scan.affine},
        )
    axis = forward.axes[2].native_axis
    whole = ResampledSource(scan, forward, shape).rows(axis, 0, shape[axis])
    image = MetaTensor(whole, affine=torch.as_tensor(affine), meta=dict(meta), applied_operations=operations)
    item = {head.image_key: image}
    for step in head.tail:
        item = step(item)
    image = item[head.image_key]
    return Prepared(VolumeSource(torch.as_tensor(image)), way_of(image), {**meta, "affine": scan.affine})


@dataclass
class ResampledSource:
    """A scan on another grid with parallel axes, made slab by slab.

    Attributes:
        forward: for each axis of the scan, where the points of the new grid lie on it.
        tail: transforms for each slab.
    """

    scan: Scan
    forward: WayBack
    shape: tuple[int, ...]
    tail: Sequence[Any] = ()
    image_key: str = "image"
    _last: tuple[int, int, torch.Tensor] | None = field(default=None, repr=False)
    _planes: dict[tuple[int, int], npt.NDArray[np.float32]] = field(default_factory=dict, repr=False)

    def rows(self, axis: int, first: int, stop: int) -> torch.Tensor:
        """Points ``first`` to ``stop`` along the axis of the scan's planes, shape (channel, …), float32."""
        if axis != self.forward.axes[2].native_axis:
            raise ValueError(f"slabs along axis {axis} of a scan stored along another")
        slab = torch.empty((self.scan.n_channels, *self._extent(axis, stop - first)))
        kept = self._reused(slab, axis, first, stop)
        missing = [r for r in range(first, stop) if not kept[0] <= r < kept[1]]
        if missing:
            low, high = missing[0], missing[-1] + 1
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
        x, y, _ = self.forward.axes
        planes = torch.empty((self.scan.n_channels, stop - first, len(y.below), len(x.below)))
        for c in range(self.scan.n_channels):
            for row in range(first, stop):
                self._fill(planes[c, row - first].numpy(), c, row)
        # From (channel, z, y, x) of the scan to the axes of the grid.
        place = {self.forward.axes[n].native_axis: 3 - n for n in range(3)}
        slab = planes.permute(0, *(place[a] for a in range(3))).contiguous()
        if not self.tail:
            return slab
        item: dict[str, Any] = {self.image_key: slab}
        for step in self.tail:
            item = step(item)
        return torch.as_tensor(item[self.image_key], dtype=torch.float32)

    def _fill(self, out: npt.NDArray[np.float32], channel: int, row: int) -> None:
        """Put one plane of the new grid into ``out``, shape (y, x)."""
        x, y, z = self.forward.axes
        lower, upper = (int(points[row]) for points in z.neighbours())
        share = float(z.share[row])
        below = self._plane(channel, lower)
        above = self._plane(channel, upper) if share else below
        resampled(below, above, share, (*y.neighbours(), y.share), (*x.neighbours(), x.share), out)

    def _plane(self, channel: int, z: int) -> npt.NDArray[np.float32]:
        """One plane of the scan; the last two of each channel are kept."""
        key = (channel, z)
        if key not in self._planes:
            if len(self._planes) >= 2 * self.scan.n_channels:
                self._planes.pop(next(k for k in self._planes))
            self._planes[key] = np.ascontiguousarray(self.scan.plane(channel, z))
        return self._planes[key]
