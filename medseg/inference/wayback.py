"""Where each voxel of a scan lies on the network's grid, axis by axis.

Orientation, spacing, cropping and padding all act along the axes of the array, so the place of a voxel on the
network's grid is three numbers that depend on one index each: ``scale * index + offset``. What MONAI's
``Invertd`` does with whole volumes, one volume per class, follows from these numbers alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.arrays import Affine
from medseg.errors import GeometryError


class UnknownGeometryError(GeometryError):
    """A way back that the engine does not know; MONAI's own ``Invertd`` does."""


# A coordinate this near to a whole number is one: affines come back from float64 products.
SNAP = 1e-6


@dataclass(frozen=True)
class AxisMap:
    """Coordinates on one axis of the network's grid, one for each index along one axis of the scan.

    Attributes:
        native_axis: axis of the scan's array.
        below: the grid point at or below each coordinate; -1 and n-1 have one neighbour outside the grid.
        share: weight of the point above, in [0, 1]; all zero where every coordinate is a grid point.
        n_points: points of the grid along the axis.
        first, stop: indices of the scan that lie on the grid at all; the others are background.
    """

    native_axis: int
    below: npt.NDArray[np.int64]
    share: npt.NDArray[np.float64]
    n_points: int
    first: int
    stop: int

    @property
    def is_exact(self) -> bool:
        """True where no interpolation is needed along this axis."""
        return not self.share.any()

    @property
    def is_descending(self) -> bool:
        """True where the grid runs against the scan."""
        return len(self.below) > 1 and bool(self.below[0] > self.below[-1])

    def neighbours(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """First and last grid point that each index needs, clipped to the grid."""
        above = self.below if self.is_exact else self.below + 1
        return self.below.clip(0, self.n_points - 1), above.clip(0, self.n_points - 1)

    def on_its_points(self) -> tuple[AxisMap, int, int]:
        """The same map numbered on only the grid points it needs; and these points, first and stop."""
        lower, upper = (points[self.first : self.stop] for points in self.neighbours())
        low, high = int(lower.min()), int(upper.max()) + 1
        return replace(self, below=self.below - low, n_points=high - low), low, high


@dataclass(frozen=True)
class WayBack:
    """From the network's grid to the scan's own.

    Attributes:
        axes: one map per axis of the network's grid.
        shape: of the scan, in voxels.
    """

    axes: tuple[AxisMap, ...]
    shape: tuple[int, ...]


def axis_map(
    coordinates: npt.NDArray[np.float64], native_axis: int, n_points: int, *, box: tuple[float, float]
) -> AxisMap:
    """The map of one axis; coordinates beyond ``box`` take its border's value.

    Args:
        coordinates: on the grid, monotone.
        n_points: of the grid. Further than one point outside of it there is nothing.
        box: lowest and highest coordinate with a value of its own; may be infinite, or outside the grid.
    """
    c = np.clip(coordinates, *box)
    nearest = np.round(c)
    c = np.where(np.abs(c - nearest) < SNAP, nearest, c)
    inside = np.flatnonzero((c > -1) & (c < n_points))
    first, stop = (int(inside[0]), int(inside[-1]) + 1) if inside.size else (0, 0)
    below = np.floor(c).astype(np.int64)
    share = c - below
    if share[first:stop].any():
        # The last point is the upper end of a cell, so that it needs no neighbour outside.
        last = (below == n_points - 1) & (share == 0) & (n_points > 1)
        below, share = np.where(last, n_points - 2, below), np.where(last, 1.0, share)
    else:
        share = np.zeros_like(share)
    return AxisMap(native_axis, below, share, n_points, first, stop)


def way_back(
    native_affine: Affine,
    native_shape: Sequence[int],
    network_affine: Affine,
    network_shape: Sequence[int],
    *,
    boxes: Sequence[tuple[float, float]] | None = None,
) -> WayBack:
    """The way from the network's grid back to the scan's.

    Args:
        native_affine: voxel to millimetres, of the scan.
        network_affine: the same, of the network's grid.
        boxes: per axis of the network's grid, where the resampled scan has values of its own; the grid itself
            if left out.

    Raises:
        GeometryError: the axes of the two grids are not parallel, so that no axis can be treated alone.
    """
    rank = len(network_shape)
    matrix = np.linalg.solve(network_affine, native_affine)
    linear, offset = matrix[:rank, :rank], matrix[:rank, 3]
    native_axis = np.abs(linear).argmax(1)
    rest = linear.copy()
    rest[np.arange(rank), native_axis] = 0
    if len(set(native_axis)) < rank or np.abs(rest).max() * max(native_shape) > 1e-3:
        raise UnknownGeometryError(
            f"a network grid turned against the scan by {np.abs(rest).max():.3g} per voxel",
            "grids with parallel axes",
            "use Orientationd and Spacingd(diagonal=False), which keep the scan's axes",
        )
    axes = []
    for a in range(rank):
        n = int(native_axis[a])
        coordinates = linear[a, n] * np.arange(native_shape[n]) + offset[a]
        box = boxes[a] if boxes is not None else (0.0, float(network_shape[a] - 1))
        axes.append(axis_map(coordinates, n, int(network_shape[a]), box=box))
    return WayBack(tuple(axes), tuple(int(n) for n in native_shape))


MOVES = {"Orientation", "SpatialResample"}
CROPS = {"CropForeground", "SpatialCrop", "CenterSpatialCrop", "Crop", "CenterScaleCrop"}
PADS = {"SpatialPad", "BorderPad", "DivisiblePad", "Pad"}


def boxes_of(
    operations: Sequence[Mapping[str, Any]], network_shape: Sequence[int]
) -> list[tuple[float, float]]:
    """Per axis, where the resampled scan has values of its own on the network's grid.

    Reads the trace that MONAI's transforms leave: turns and one resampling first, crops and pads after them.
    MONAI's inverse repeats the border beyond the resampled scan and puts zeros where a crop cut.

    Raises:
        GeometryError: another transform of space, or another order.
    """
    rank = len(network_shape)
    shift = np.zeros(rank)
    full: Sequence[int] | None = None
    zeros_outside = False
    n_resamplings = 0
    for operation in operations:
        name, extra = str(operation["class"]), operation.get("extra_info") or {}
        if name in MOVES and full is None:
            n_resamplings += name == "SpatialResample"
            zeros_outside = zeros_outside or extra.get("padding_mode") == "zeros"
            _check_resampling(name, extra)
        elif name in CROPS or name in PADS:
            full = full or operation["orig_size"]
            shift += _cut(extra) if name in CROPS else -_padded(extra)
        else:
            raise UnknownGeometryError(
                f"{name} among the transforms of space",
                "Orientation and Spacing, then crops and pads",
                "use the bundle's own Invertd (--engine stock)",
            )
    if n_resamplings > 1:
        raise UnknownGeometryError("two resamplings", "one", "use the bundle's own Invertd (--engine stock)")
    if zeros_outside:
        return [(-np.inf, np.inf)] * rank
    return [(-float(s), float(n) - 1 - float(s)) for s, n in zip(shift, full or network_shape, strict=True)]


def _check_resampling(name: str, extra: Mapping[str, Any]) -> None:
    if name != "SpatialResample":
        return
    mode, align = extra.get("mode"), extra.get("align_corners")
    padding = extra.get("padding_mode")
    if mode not in ("bilinear", 1) or align not in (False, "none") or padding not in ("border", "zeros"):
        raise UnknownGeometryError(
            f"resampling with mode {mode}, padding {padding}, align_corners {align}",
            "bilinear with border or zeros",
            "use the bundle's own Invertd (--engine stock)",
        )


def _cut(extra: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    cut = np.array(extra["cropped"], dtype=float)[::2]
    padded = (extra.get("pad_info") or {}).get("extra_info")
    return cut - _padded(padded) if padded else cut


def _padded(extra: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    # The first pair is the channel axis.
    return np.array([before for before, _ in extra["padded"][1:]], dtype=float)
