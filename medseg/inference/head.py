"""The beginning of a bundle's preprocessing (load, orientation, spacing) done plane by plane.

MONAI's own transforms say where the grid lies, by running lazily on no data; the values are interpolated in
float64 as MONAI does, one axis after the other. What follows (intensities, crops) is left to MONAI: on slabs,
where each voxel is changed by itself, else on the whole volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from medseg.arrays import Affine
from medseg.inference.inferer import way_of
from medseg.inference.resampled_source import ResampledSource
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
