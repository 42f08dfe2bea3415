"""The fast engine: one compiled pass counts all structures, then distances at surface points alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from medseg.arrays import Mask, Spacing
from medseg.metrics.bitrows import boundary_bits, corner_bits, corner_codes, pack, touching_bits
from medseg.metrics.coding import Coded
from medseg.metrics.measures import Agreement, Measure, SurfaceDistances
from medseg.metrics.scanning import Counts, classes_of, count_classes
from medseg.metrics.searching import near_rows, nearest
from medseg.metrics.surfels import bit_of, element_sizes

Grid3: TypeAlias = tuple[int, int, int]
Bits: TypeAlias = npt.NDArray[np.uint64]


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
    counts, n_unnamed = pair.count()
    found = [_measure(pair, s, counts, voxels, elements) for s in range(n_structures)]
    joint = counts.joint
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
        self.shape: Grid3 = self.codes[0].shape
        self.flip = flip
        self.deep = self.n_axes == 3
        ordered = tuple(spacing_mm[::-1]) if flip else tuple(spacing_mm)
        self.spacing_mm = ordered if self.deep else (1.0, *ordered)
        self.own_spacing_mm = spacing_mm
        self.ignored = None if ignored is None else _three_axes(ignored, flip).view(np.uint8)
        self.patterns, self.classes = classes_of(*self.bits)

    def count(self) -> tuple[Counts, tuple[int, int]]:
        """The counts of classes, and voxels without a structure in both maps."""
        n = len(self.patterns)
        # A class of their own for labels that nobody named; they count as background below.
        named = []
        for bits, classes in zip(self.bits, self.classes, strict=True):
            unnamed = (bits == 0) & (np.arange(len(bits)) != 0)
            named.append(np.where(unnamed, n, classes).astype(np.uint16))
        ignored = np.zeros(0, np.uint8) if self.ignored is None else self.ignored.reshape(-1)
        flat = [codes.reshape(-1) for codes in self.codes]
        joint, sums, spans, boxes = count_classes(*flat, self.shape, *named, n + 1, ignored)
        n_unnamed = int(joint[n].sum()), int(joint[:, n].sum())
        joint[0] += joint[n]
        joint[:, 0] += joint[:, n]
        joint = joint[:n, :n]
        n_counted = self.codes[0].size - int(np.count_nonzero(ignored))
        # What was passed over has code 0 in both.
        joint[self.classes[0][0], self.classes[1][0]] += n_counted - int(joint.sum())
        return Counts(joint, sums[:, :n], spans, boxes[:, :n]), n_unnamed

    def distances(
        self, s: int, counts: Counts, voxels: bool, elements: bool
    ) -> tuple[SurfaceDistances | None, SurfaceDistances | None]:
        """Distances between boundary voxels and between surface elements, for a structure that both have."""
        low, size = self._box(s, counts.boxes)
        masks = []
        for side, codes in enumerate(self.codes):
            member = ((self.bits[side] >> np.uint64(s)) & np.uint64(1)).astype(np.uint8)
            masks.append(pack(codes.reshape(-1), self.shape, member, low, size, counts.spans[:, :, side]))
        barred = None
        if self.ignored is not None:
            whole = np.zeros((*self.shape[:2], 2, 2), np.int32)
            whole[..., 1] = self.shape[2] - 1
            member = np.arange(256, dtype=np.uint8)
            barred = pack(self.ignored.reshape(-1), self.shape, member, low, size, whole[:, :, 0])
        surface = self._voxel_distances(masks, size, barred) if voxels else None
        return surface, self._element_distances(masks, size, barred) if elements else None

    def _voxel_distances(self, masks: Sequence[Bits], size: Grid3, barred: Bits | None) -> SurfaceDistances:
        near = near_rows(size[:2], self.spacing_mm)
        p, r = (boundary_bits(mask, self.deep, near.border) for mask in masks)
        free = None if barred is None else ~touching_bits(barred, self.deep, near.border)
        asks_p, asks_r = (p, r) if free is None else (p & free, r & free)
        return SurfaceDistances(
            nearest(asks_r, p, near, self.spacing_mm), nearest(asks_p, r, near, self.spacing_mm)
        )

    def _element_distances(self, masks: Sequence[Bits], size: Grid3, barred: Bits | None) -> SurfaceDistances:
        sizes, weights = element_sizes(self.own_spacing_mm), self._weights()
        near = near_rows((size[0] + self.deep, size[1] + 1), self.spacing_mm)
        p, r = (corner_bits(mask, self.deep, near.border, False) for mask in masks)
        free = None if barred is None else ~corner_bits(barred, self.deep, near.border, True)
        asks_p, asks_r = (p, r) if free is None else (p & free, r & free)
        away_r, away_p = nearest(asks_r, p, near, self.spacing_mm), nearest(asks_p, r, near, self.spacing_mm)
        codes_p, codes_r = (
            corner_codes(asks, mask, self.deep, near.border, weights, len(away))
            for asks, mask, away in zip((asks_p, asks_r), masks, (away_p, away_r), strict=True)
        )
        return SurfaceDistances(away_r, away_p, sizes[codes_r], sizes[codes_p])

    def _box(self, s: int, boxes: npt.NDArray[np.int64]) -> tuple[Grid3, Grid3]:
        """First voxel and size of the box of a structure in both maps."""
        if self.ignored is not None:
            # Ignored voxels of the structure are surface, too, but in no box.
            return (0, 0, 0), self.shape
        own = boxes[:, self.holds(s)]
        low, high = own[..., 0].min((0, 1)), own[..., 1].max((0, 1))
        return tuple(low.tolist()), tuple((high - low + 1).tolist())

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


def _measure(pair: _Pair, s: int, counts: Counts, voxels: bool, elements: bool) -> Measure:
    own, joint = pair.holds(s), counts.joint
    n_prediction, n_reference = int(joint[own].sum()), int(joint[:, own].sum())
    both = n_prediction > 0 and n_reference > 0
    surface, pieces = pair.distances(s, counts, voxels, elements) if both else (None, None)
    return Measure(
        n_reference=n_reference,
        n_prediction=n_prediction,
        n_both=int(joint[np.ix_(own, own)].sum()),
        n_voxels=int(joint.sum()),
        centre_reference=_centre(counts.sums[1, own].sum(0), n_reference, pair),
        centre_prediction=_centre(counts.sums[0, own].sum(0), n_prediction, pair),
        surface=surface,
        elements=pieces,
    )


def _centre(sums: npt.NDArray[np.int64], n: int, pair: _Pair) -> tuple[float, ...]:
    if not n:
        return ()
    centre = [float(total / n * step) for total, step in zip(sums, pair.spacing_mm, strict=True)]
    own = centre if pair.deep else centre[1:]
    return tuple(own[::-1] if pair.flip else own)


def _three_axes(array: npt.NDArray[Any], flip: bool) -> npt.NDArray[Any]:
    turned = array.T if flip else array
    found = np.ascontiguousarray(turned if turned.ndim == 3 else turned[None])
    # A copy costs less than compiling every loop again for memory of another kind.
    ready = found.flags.writeable and found.flags.aligned and found.ctypes.data % 8 == 0
    return found if ready else found.copy()
