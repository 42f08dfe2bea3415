"""The reference engine: NumPy masks and SciPy's KD-tree, to hold the fast one against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from medseg.arrays import Mask, Spacing
from medseg.metrics.coding import Coded
from medseg.metrics.measures import Agreement, Distances, Measure, SurfaceDistances
from medseg.metrics.surfels import element_sizes, surface_elements, touched_corners

Points = npt.NDArray[np.int64]


def measure_all(
    prediction: Coded,
    reference: Coded,
    n_structures: int,
    spacing_mm: Spacing,
    *,
    voxels: bool = True,
    elements: bool = False,
    ignored: Mask | None = None,
) -> tuple[list[Measure], Agreement]:
    """What `medseg.metrics.fast.measure_all` gives, one structure at a time."""
    found = []
    for i in range(n_structures):
        masks = prediction.mask(i), reference.mask(i)
        found.append(measure_masks(*masks, spacing_mm, voxels=voxels, elements=elements, ignored=ignored))
    return found, _agreement(prediction, reference, ignored)


def measure_masks(
    prediction: Mask,
    reference: Mask,
    spacing_mm: Spacing,
    *,
    voxels: bool = True,
    elements: bool = False,
    ignored: Mask | None = None,
) -> Measure:
    """Counts, centres and distances of two masks of one shape, 1 to 3 axes; `spacing_mm` in array order."""
    counted = np.ones(prediction.shape, bool) if ignored is None else ~ignored
    seen_prediction, seen_reference = prediction & counted, reference & counted
    n_prediction, n_reference = int(np.count_nonzero(seen_prediction)), int(np.count_nonzero(seen_reference))
    surface = element_distances = None
    if n_prediction and n_reference:
        box = _box(prediction | reference)
        pair = prediction[box], reference[box]
        barred = None if ignored is None else _touching(ignored)[box]
        corners = None if ignored is None else touched_corners(ignored)[tuple(_and_one(s) for s in box)]
        surface = surface_distances(*pair, spacing_mm, barred) if voxels else None
        element_distances = _element_distances(*pair, spacing_mm, corners) if elements else None
    return Measure(
        n_reference=n_reference,
        n_prediction=n_prediction,
        n_both=int(np.count_nonzero(seen_prediction & seen_reference)),
        n_voxels=int(np.count_nonzero(counted)),
        centre_reference=_centre(seen_reference, spacing_mm),
        centre_prediction=_centre(seen_prediction, spacing_mm),
        surface=surface,
        elements=element_distances,
    )


def surface_distances(
    prediction: Mask, reference: Mask, spacing_mm: Spacing, barred: Mask | None = None
) -> SurfaceDistances:
    """Distances between the boundary voxels of two masks, both with voxels; `barred` ones ask nothing."""
    of_prediction, of_reference = boundary(prediction), boundary(reference)
    asking = (
        [of_prediction, of_reference]
        if barred is None
        else [m & ~barred for m in (of_prediction, of_reference)]
    )
    targets = np.argwhere(of_prediction), np.argwhere(of_reference)
    return SurfaceDistances(
        from_reference=_nearest(np.argwhere(asking[1]), targets[0], spacing_mm),
        from_prediction=_nearest(np.argwhere(asking[0]), targets[1], spacing_mm),
    )


def boundary(mask: Mask) -> Mask:
    """The voxels of a mask with a face neighbour outside it; outside the image is outside the mask."""
    inner = np.ones_like(mask)
    padded = np.pad(mask, 1)
    for axis in range(mask.ndim):
        for shift in (0, 2):
            cut = [slice(1, -1)] * mask.ndim
            cut[axis] = slice(shift, shift + mask.shape[axis])
            inner &= padded[tuple(cut)]
    return mask & ~inner


def _element_distances(
    prediction: Mask, reference: Mask, spacing_mm: Spacing, barred: Mask | None
) -> SurfaceDistances:
    sizes = element_sizes(spacing_mm)
    (points_p, codes_p), (points_r, codes_r) = surface_elements(prediction), surface_elements(reference)
    asks_p, asks_r = (
        np.ones(len(points), bool) if barred is None else ~barred[tuple(points.T)]
        for points in (points_p, points_r)
    )
    return SurfaceDistances(
        _nearest(points_r[asks_r], points_p, spacing_mm),
        _nearest(points_p[asks_p], points_r, spacing_mm),
        sizes[codes_r[asks_r]],
        sizes[codes_p[asks_p]],
    )


def _and_one(part: slice) -> slice:
    """The corners of a range of voxels."""
    return slice(part.start, part.stop + 1)


def _nearest(queries: Points, targets: Points, spacing_mm: Spacing) -> Distances:
    """Distance of each query to its nearest target; recomputed from whole steps, so that ties are exact."""
    if not len(queries):
        return np.zeros(0)
    scale = np.asarray(spacing_mm)
    _, index = cKDTree(targets * scale, leafsize=32, balanced_tree=False).query(queries * scale)
    return np.sqrt((((queries - targets[index]) * scale) ** 2).sum(axis=1))


def _touching(ignored: Mask) -> Mask:
    """Ignored voxels and their face neighbours."""
    touched = ignored.copy()
    for axis in range(ignored.ndim):
        front, back = [slice(None)] * ignored.ndim, [slice(None)] * ignored.ndim
        front[axis], back[axis] = slice(1, None), slice(None, -1)
        touched[tuple(front)] |= ignored[tuple(back)]
        touched[tuple(back)] |= ignored[tuple(front)]
    return touched


def _box(mask: Mask) -> tuple[slice, ...]:
    def bounds() -> Iterator[slice]:
        for axis in range(mask.ndim):
            others = tuple(a for a in range(mask.ndim) if a != axis)
            where = np.flatnonzero(mask.any(axis=others))
            yield slice(int(where[0]), int(where[-1]) + 1)

    return tuple(bounds())


def _centre(mask: Mask, spacing_mm: Spacing) -> tuple[float, ...]:
    points = np.argwhere(mask)
    return tuple(float(c) for c in points.mean(axis=0) * np.asarray(spacing_mm)) if len(points) else ()


def _agreement(prediction: Coded, reference: Coded, ignored: Mask | None) -> Agreement:
    """Classes are the sets of structures that a voxel belongs to."""
    patterns = np.unique(np.concatenate([prediction.bits, reference.bits]))
    classes: list[npt.NDArray[Any]] = []
    for coded in (prediction, reference):
        one = np.searchsorted(patterns, coded.bits)[coded.codes]
        classes.append(one.ravel() if ignored is None else one[~ignored])
    counted = slice(None) if ignored is None else ~ignored
    n_unnamed = [
        int(np.count_nonzero((c.codes[counted] != 0) & (c.bits[c.codes[counted]] == 0)))
        for c in (prediction, reference)
    ]
    n = len(classes[0])
    marginals = [np.bincount(c, minlength=len(patterns)) / max(n, 1) for c in classes]
    n_equal = int(np.count_nonzero(classes[0] == classes[1]))
    return Agreement(n, n_equal, float(marginals[0] @ marginals[1]), (n_unnamed[0], n_unnamed[1]))
