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

from medseg.arrays import Affine
from medseg.inference.inferer import way_of
from medseg.inference.resampling import resampled
from medseg.inference.sampling import Taps, exact_taps, is_still, taps_of
from medseg.inference.scan import Scan
from medseg.inference.slabs import Source, VolumeSource
from medseg.inference.wayback import WayBack, boxes_of, way_back

LOADING = {"LoadImaged", "EnsureChannelFirstd"}
GRID = {"Orientationd", "Spacingd"}
NEUTRAL = {"EnsureTyped", "ToTensord", "CastToTyped"}
POINTWISE = NEUTRAL | {"ScaleIntensityRanged"}
# These ask of no voxel whether it is exactly 0, so that the last digits may differ from MONAI's.
SMOOTH = POINTWISE | {
    *("ScaleIntensityd", "ScaleIntensityRangePercentilesd", "NormalizeIntensityd"),
    *("SpatialPadd", "BorderPadd", "DivisiblePadd", "CenterSpatialCropd", "ResizeWithPadOrCropd"),
}
# Rows made at a time on the way into a slab.
N_ROWS = 16


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

    @property
    def is_smooth(self) -> bool:
        """True where a change of a voxel in its last digits changes no other voxel by more."""
        return all(
            type(step).__name__ in SMOOTH and not getattr(getattr(step, "normalizer", None), "nonzero", False)
            for step in self.tail
        )


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


@dataclass(frozen=True)
class Grid:
    """Where the network's voxels lie before the tail, found without any data.

    Attributes:
        operations: MONAI's trace of how the grid was moved.
        taps: for each axis of the scan, where the points of the new grid lie on it.
        meta: of the scan.
    """

    affine: Affine
    shape: tuple[int, ...]
    operations: list[dict[str, Any]]
    taps: tuple[Taps, ...]
    meta: dict[str, Any]


def network_grid(head: Head, scan: Scan, path: Path) -> Grid | None:
    """The grid that MONAI's own transforms name; None where only MONAI can fill it as the tail needs it.

    Raises:
        GeometryError: the grids' axes are not parallel.
    """
    empty = torch.zeros(1).expand(scan.n_channels, *scan.shape)
    meta = {
        "original_affine": scan.affine,
        "spatial_shape": np.array(scan.shape),
        "filename_or_obj": str(path),
        "space": "RAS",
    }
    moved = MetaTensor(empty, affine=torch.as_tensor(scan.affine), meta=dict(meta))
    for step in head.grid:
        moved = step({head.image_key: moved}, lazy=True)[head.image_key]
        if moved.pending_operations and is_still(moved.pending_operations[-1]):
            moved.pop_pending_operation()
    shape = tuple(int(n) for n in moved.peek_pending_shape())
    affine = np.asarray(moved.peek_pending_affine(), np.float64)
    operations = [dict(operation) for operation in moved.pending_operations]
    rough = taps_of(way_back(affine, shape, scan.affine, scan.shape))
    taps = exact_taps(scan.affine, moved, rough)
    if taps is None and not (head.is_smooth and _repeats_borders(operations)):
        return None
    return Grid(affine, shape, operations, taps or rough, meta)


def _repeats_borders(operations: Sequence[dict[str, Any]]) -> bool:
    return all((o.get("extra_info") or {}).get("padding_mode", "border") == "border" for o in operations)


def prepared(head: Head, scan: Scan, grid: Grid, *, only_plan: bool = False) -> Prepared:
    """The scan on the network's grid, in slabs on demand where the tail allows it.

    Args:
        only_plan: make nothing yet; the tail's crops are left out, so the grid is at least as large.

    Raises:
        GeometryError: the tail moves the grid in an unknown way.
    """
    shape, meta = grid.shape, {**grid.meta, "affine": scan.affine}
    if head.is_pointwise or only_plan:
        boxes = boxes_of(grid.operations, shape)
        way = way_back(scan.affine, scan.shape, grid.affine, shape, boxes=boxes)
        return Prepared(ResampledSource(scan, grid.taps, shape, head.tail, head.image_key), way, meta)
    axis = grid.taps[2].grid_axis
    whole = ResampledSource(scan, grid.taps, shape).rows(axis, 0, shape[axis])
    image = MetaTensor(
        whole,
        affine=torch.as_tensor(grid.affine),
        meta=dict(grid.meta),
        applied_operations=list(grid.operations),
    )
    item: dict[str, Any] = {head.image_key: image}
    for step in head.tail:
        item = step(item)
    image = item[head.image_key]
    return Prepared(VolumeSource(torch.as_tensor(image)), way_of(image), meta)


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
