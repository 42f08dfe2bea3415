"""Whether a prediction lies on its reference's grid, and how to bring it there without loss."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.arrays import Affine
from medseg.data.label_maps import LabelMapFile
from medseg.errors import GeometryError

SAME_GRID_VOXELS = 1e-3
"""Two grids are one where no corner lies further off than this many voxels."""


class ShapeMismatchError(GeometryError):
    """A prediction with another number of voxels than its reference."""

    status = "shape_mismatch"


class GeometryMismatchError(GeometryError):
    """A prediction with another origin, spacing or rotation than its reference."""

    status = "geometry_mismatch"


def on_reference_grid(
    prediction: LabelMapFile, reference: LabelMapFile, resample: bool = False
) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """The prediction's array on the reference's grid, and what was done to it.

    The same voxels in another axis order or direction are permuted without loss (``reoriented``). Where
    either file has no geometry, only shapes are compared (``geometry_unchecked``).

    Args:
        prediction: as read.
        reference: as read.
        resample: take the nearest voxel of the prediction where the grids differ.

    Raises:
        ShapeMismatchError: shapes differ and `resample` is off or impossible.
        GeometryMismatchError: origin, spacing or rotation differ and `resample` is off.
    """
    shape = _spatial(reference.array)
    array = _lifted(prediction.array, reference)
    if prediction.affine is None or reference.affine is None:
        if _spatial(array) != shape:
            raise _shapes(prediction, reference)
        flags = () if prediction.affine is None and reference.affine is None else ("geometry_unchecked",)
        return array, flags
    step = np.linalg.inv(prediction.affine) @ reference.affine
    if _spatial(array) == shape and _off_grid(step, np.eye(4), shape) < SAME_GRID_VOXELS:
        return array, ()
    signed = _signed_permutation(step, shape)
    if signed is not None and _covers(signed, shape, _spatial(array)):
        return _permuted(array, signed), ("reoriented",)
    if resample:
        return _nearest(array, step, shape), ("resampled",)
    if _spatial(array) != shape:
        raise _shapes(prediction, reference)
    raise GeometryMismatchError(
        f"{prediction.path} lies up to {_off_grid(step, np.eye(4), shape):.3g} voxels off {reference.path}",
        f"the same origin, spacing and rotation (within {SAME_GRID_VOXELS} voxel)",
        "write the prediction on the reference's grid, or say --resample",
    )


def _spatial(array: npt.NDArray[Any]) -> tuple[int, ...]:
    """The three spatial lengths, a missing axis counting one."""
    return (*array.shape[:3], 1, 1)[:3]


def _lifted(array: npt.NDArray[Any], reference: LabelMapFile) -> npt.NDArray[Any]:
    """With as many spatial axes as the reference: (x, y) and (x, y, 1) are the same slice."""
    n_axes = min(reference.array.ndim, 3)
    if array.ndim == 2 and n_axes == 3:
        return array[..., None]
    if array.ndim == 3 and n_axes == 2 and array.shape[2] == 1:
        return array[..., 0]
    return array


def _off_grid(step: Affine, exact: Affine, shape: tuple[int, ...]) -> float:
    """The largest distance in voxels between two index maps over the grid's corners."""
    corners = np.asarray([[*c, 1.0] for c in product(*[(0, n - 1) for n in shape])])
    return float(np.abs((step - exact)[:3] @ corners.T).max())


def _signed_permutation(step: Affine, shape: tuple[int, ...]) -> Affine | None:
    """The exact permutation with signs that `step` nearly is, or None."""
    exact = np.rint(step)
    one_each = (np.abs(exact[:3, :3]).sum(0) == 1).all() and (np.abs(exact[:3, :3]).sum(1) == 1).all()
    return exact if one_each and _off_grid(step, exact, shape) < SAME_GRID_VOXELS else None


def _covers(signed: Affine, shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether the map takes the corners of one grid to the corners of the other."""
    first = signed[:3, 3]
    last = signed[:3, :3] @ (np.asarray(shape) - 1) + first
    low, high = np.minimum(first, last), np.maximum(first, last)
    return bool((low == 0).all() and (high == np.asarray(other) - 1).all())


def _permuted(array: npt.NDArray[Any], signed: Affine) -> npt.NDArray[Any]:
    """A view of the array with its axes in the reference's order and direction."""
    order = [int(np.flatnonzero(signed[:3, axis])[0]) for axis in range(3)]
    signs = [signed[source, axis] for axis, source in enumerate(order)]
    lifted = array[..., None] if array.ndim == 2 else array
    moved = lifted.transpose(*order, *range(3, lifted.ndim))
    moved = moved[tuple(slice(None, None, -1) if s < 0 else slice(None) for s in signs)]
    return moved[..., 0] if array.ndim == 2 and moved.shape[2] == 1 else moved


def _nearest(array: npt.NDArray[Any], step: Affine, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The nearest voxel of the prediction at each voxel of the reference; 0 beyond its edge."""
    from scipy.ndimage import affine_transform

    lifted = array[..., None] if array.ndim == 2 else array
    channels = lifted[..., None] if lifted.ndim == 3 else lifted
    moved = [
        affine_transform(channels[..., c], step[:3, :3], step[:3, 3], shape, order=0, mode="grid-constant")
        for c in range(channels.shape[3])
    ]
    stacked = np.stack(moved, axis=-1)
    found = stacked if lifted.ndim == 4 else stacked[..., 0]
    return found[:, :, 0] if array.ndim == 2 else found


def _shapes(prediction: LabelMapFile, reference: LabelMapFile) -> ShapeMismatchError:
    return ShapeMismatchError(
        f"{prediction.path} has shape {prediction.array.shape} and {reference.path} {reference.array.shape}",
        "the same number of voxels along each axis",
        "write the prediction on the reference's grid, or say --resample",
    )
