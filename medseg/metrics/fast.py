"""The fast engine: one compiled pass for all structures, then distances at surface points alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.arrays import Mask, Spacing
from medseg.metrics.coding import Coded
from medseg.metrics.measures import Agreement, Measure, SurfaceDistances
from medseg.metrics.scanning import classes_of, count_classes, element_corners, surface_voxels
from medseg.metrics.searching import Places, nearest
from medseg.metrics.surfels import bit_of, element_sizes

Grid3 = tuple[int, int, int]


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
    """Counts, centres and surface distances of all structures, and the agreement of both label maps.

    Args:
        prediction: codes of one type with `reference`, two or three axes.
        reference: the same shape.
        n_structures: how many bits of the tables are in use.
        spacing_mm: per axis of the codes.
        voxels: measure between boundary voxels.
        elements: measure between surface elements.
        ignored: voxels that count for nothing, or None.
    """
    pair = _Pair(prediction, reference, spacing_mm, ignored)
    joint, sums, spans, n_unnamed = pair.count()
    surfaces = pair.voxel_distances(joint, n_structures, spans) if voxels else [None] * n_structures
    pieces = pair.element_distances(joint, n_structures, spans) if elements else [None] * n_structures
    found = [_measure(pair, s, joint, sums, surfaces[s], pieces[s]) for s in range(n_structures)]
    n = int(joint.sum())
    shares = joint.sum(1) / max(n, 1), joint.sum(0) / max(n, 1)
    return found, Agreement(n, int(np.trace(joint)), float(shares[0] @ shares[1]), n_unnamed)


class _Pair:
    """Two coded label maps as three C-contiguous axes, the last one contiguous in memory."""

    def __init__(
        self, prediction: Coded, reference: Coded, spacing_mm: Spacing, ignored: Mask | None
    ) -> None:
        flip = reference.codes.flags.f_contiguous and not reference.codes.flags.c_contiguous
        self.codes = tuple(_three_axes(c.codes, flip) for c in (prediction, reference))
        self.bits = prediction.bits, reference.bits
        self.n_axes = reference.codes.ndim
        self.flip = flip
        self.deep = self.n_axes == 3
        ordered = tuple(spacing_mm[::-1]) if flip else tuple(spacing_mm)
        self.spacing_mm = ordered if self.deep else (1.0, *ordered)
        self.own_spacing_mm = spacing_mm
        self.ignored = np.zeros((0, 0, 0), np.bool_) if ignored is None else _three_axes(ignored, flip)
        self.patterns, self.classes = classes_of(*self.bits)

    def count(self) -> tuple[Any, Any, Any, tuple[int, int]]:
        """Joint counts of classes, sums of coordinates, columns in use, and voxels without a structure."""
        n = len(self.patterns)
        # A class of their own for labels that nobody named; they count as background below.
        named = []
        for bits, classes in zip(self.bits, self.classes, strict=True):
            unnamed = (bits == 0) & (np.arange(len(bits)) != 0)
            named.append(np.where(unnamed, n, classes).astype(np.uint16))
        joint, sums, spans = count_classes(*self.codes, *named, n + 1, self.ignored)
        n_unnamed = int(joint[n].sum()), int(joint[:, n].sum())
        joint[0] += joint[n]
        joint[:, 0] += joint[:, n]
        joint, sums = joint[:n, :n], sums[:, :n]
        n_counted = self.codes[0].size - int(np.count_nonzero(self.ignored))
        # What was passed over has code 0 in both.
        joint[self.classes[0][0], self.classes[1][0]] += n_counted - int(joint.sum())
        return joint, sums, spans, n_unnamed

    def voxel_distances(
        self, joint: npt.NDArray[np.int64], n_structures: int, spans: npt.NDArray[np.int64]
    ) -> list[SurfaceDistances | None]:
        """Distances between boundary voxels, None where a mask is empty."""
        scanned = [
            surface_voxels(codes, bits, spans[side], self.deep, self.ignored)
            for side, (codes, bits) in enumerate(zip(self.codes, self.bits, strict=True))
        ]
        found: list[SurfaceDistances | None] = []
        for s in range(n_structures):
            if not self._both(joint, s):
                found.append(None)
                continue
            (p, p_barred), (r, r_barred) = (
                _of_structure(places, bits, barred, s) for places, bits, barred in scanned
            )
            found.append(
                SurfaceDistances(
                    self._nearest(r[~r_barred], p, self.codes[0].shape),
                    self._nearest(p[~p_barred], r, self.codes[0].shape),
                )
            )
        return found

    def element_distances(
        self, joint: npt.NDArray[np.int64], n_structures: int, spans: npt.NDArray[np.int64]
    ) -> list[SurfaceDistances | None]:
        """Distances between surface elements with their sizes, None where a mask is empty."""
        sizes, weights = element_sizes(self.own_spacing_mm), self._weights()
        scanned = [
            element_corners(codes, bits, spans[side], self.deep, weights)
            for side, (codes, bits) in enumerate(zip(self.codes, self.bits, strict=True))
        ]
        n0, n1, n2 = self.codes[0].shape
        grid = (n0 + 1 if self.deep else 1, n1 + 1, n2 + 1)
        found: list[SurfaceDistances | None] = []
        for s in range(n_structures):
            if not self._both(joint, s):
                found.append(None)
                continue
            (p, p_codes), (r, r_codes) = (
                (places[owners == s], codes[owners == s]) for places, owners, codes in scanned
            )
            asks_p, asks_r = self._may_ask(p, grid), self._may_ask(r, grid)
            found.append(
                SurfaceDistances(
                    self._nearest(r[asks_r], p, grid),
                    self._nearest(p[asks_p], r, grid),
                    sizes[r_codes[asks_r]],
                    sizes[p_codes[asks_p]],
                )
            )
        return found

    def _may_ask(self, corners: Places, grid: Grid3) -> Any:
        """The corners with no ignored voxel around them."""
        if not self.ignored.size:
            return slice(None)
        after = np.stack(np.unravel_index(corners, grid))
        barred = np.zeros(len(corners), np.bool_)
        for before in np.ndindex(2 if self.deep else 1, 2, 2):
            at = after - np.asarray(before)[:, None]
            inside = ((at >= 0) & (at < np.asarray(self.ignored.shape)[:, None])).all(axis=0)
            barred[inside] |= self.ignored[tuple(at[:, inside])]
        return ~barred

    def _nearest(self, queries: Places, targets: Places, grid: Grid3) -> Any:
        return nearest(queries, targets, grid, self.spacing_mm)

    def _both(self, joint: npt.NDArray[np.int64], s: int) -> bool:
        own = self.holds(s)
        return bool(joint[own].any() and joint[:, own].any())

    def holds(self, s: int) -> Mask:
        """The classes that belong to structure `s`."""
        return ((self.patterns >> np.uint64(s)) & np.uint64(1)) != 0

    def _weights(self) -> npt.NDArray[np.int64]:
        """What each neighbour of a corner adds to its code, which is told in the caller's axis order."""
        weights = np.zeros((2, 2, 2), np.int64)
        for place in np.ndindex(2, 2, 2):
            own = place if self.deep else place[1:]
            if self.deep or place[0] == 0:
                weights[place] = 1 << bit_of(tuple(own[::-1]) if self.flip else tuple(own))
        return weights


def _measure(
    pair: _Pair,
    s: int,
    joint: npt.NDArray[np.int64],
    sums: npt.NDArray[np.int64],
    surface: SurfaceDistances | None,
    elements: SurfaceDistances | None,
) -> Measure:
    own = pair.holds(s)
    n_prediction, n_reference = int(joint[own].sum()), int(joint[:, own].sum())
    return Measure(
        n_reference=n_reference,
        n_prediction=n_prediction,
        n_both=int(joint[np.ix_(own, own)].sum()),
        n_voxels=int(joint.sum()),
        centre_reference=_centre(sums[1, own].sum(0), n_reference, pair),
        centre_prediction=_centre(sums[0, own].sum(0), n_prediction, pair),
        surface=surface,
        elements=elements,
    )


def _centre(sums: npt.NDArray[np.int64], n: int, pair: _Pair) -> tuple[float, ...]:
    if not n:
        return ()
    centre = [float(total / n * step) for total, step in zip(sums, pair.spacing_mm, strict=True)]
    own = centre if pair.deep else centre[1:]
    return tuple(own[::-1] if pair.flip else own)


def _of_structure(places: Any, bits: Any, barred: Any, s: int) -> tuple[Any, Any]:
    mine = (bits & np.uint64(1 << s)) != 0
    return places[mine], barred[mine]


def _three_axes(array: npt.NDArray[Any], flip: bool) -> npt.NDArray[Any]:
    turned = array.T if flip else array
    found = np.ascontiguousarray(turned if turned.ndim == 3 else turned[None])
    # A copy costs less than compiling every loop again for memory of another kind.
    return found if found.flags.writeable and found.flags.aligned else found.copy()
