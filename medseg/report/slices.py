"""Which slice of a scan shows its error best, and the slice as it is hung on a wall.

Arrays are on the reference's grid with axes to the patient's right, front and head (RAS+), or are pictures of
shape (row, column). Nothing here reads a file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from medseg.report.statistics import Floats

Mask = NDArray[np.bool_]

_PLANES = {2: "axial", 1: "coronal", 0: "sagittal"}
# Left, right, top and bottom of each plane: the patient's right is on the left of the picture.
_SIDES = {2: ("R", "L", "A", "P"), 1: ("R", "L", "S", "I"), 0: ("A", "P", "S", "I")}
_NO_SIDES = ("", "", "", "")
_MARGIN_MM = 12.0
_MOST_PIXELS = 512
_THICK = 1.5


@dataclass(frozen=True)
class Scan:
    """One structure of one case: the picture and its two masks on one grid.

    Attributes:
        reference: shape (x, y, z), RAS+, or (row, column).
        prediction: of the same shape.
        spacing_mm: per axis.
        image: of the same shape, for a picture also with three colours on a last axis; None where unknown.
        has_units: False where the file knows no size and a pixel counts as one.
        is_oriented: False where nobody knows which side is right.
    """

    reference: Mask
    prediction: Mask
    spacing_mm: tuple[float, ...]
    image: NDArray[Any] | None = None
    has_units: bool = True
    is_oriented: bool = True


@dataclass(frozen=True)
class Slice:
    """A slice as it is shown: rows from the top, columns from the left.

    Attributes:
        image: 8-bit grey (row, column) or colour (row, column, 3), at most 512 on a side.
        pixel_mm: height and width of a pixel.
        sides: letters for left, right, top and bottom; empty where nobody knows.
        where: which slice this is, in words; empty for a picture.
        arrow: the ends (row, column), in pixels, of the largest distance between both surfaces of the whole
            volume, seen along the slice's axis; None where there is none.
        arrow_mm: that distance, the Hausdorff distance.
        arrow_slices: in which slices it ends, counted from 1; empty for a picture.
        is_across: whether an end lies in another slice than this one.
    """

    image: NDArray[np.uint8]
    reference: Mask
    prediction: Mask
    pixel_mm: tuple[float, float]
    sides: tuple[str, str, str, str]
    where: str
    arrow: tuple[tuple[float, float], tuple[float, float]] | None
    arrow_mm: float
    arrow_slices: tuple[int, ...] = ()
    is_across: bool = False


def worst_slice(scan: Scan) -> Slice:
    """The slice with the most wrong voxels, cropped round the structure.

    It is axial, or across the thickest voxel side where voxels are far from cubes. Where no voxel is wrong,
    it is the slice with most of the reference. The arrow is the largest distance of the whole volume, as it
    looks from the slice's side, so its length in the picture may be shorter than the distance.
    """
    if scan.reference.ndim == 2:
        masks = (scan.reference, scan.prediction)
        ends, distance = _largest(scan, 0, None)
        return replace(_cropped(scan.image, masks, scan.spacing_mm, ends), arrow_mm=distance)
    axis = _across(scan.reference.shape, scan.spacing_mm)
    others = tuple(a for a in range(3) if a != axis)
    wrong = (scan.reference ^ scan.prediction).sum(axis=others)
    counts = wrong if wrong.any() else scan.reference.sum(axis=others)
    number = int(np.argmax(counts))
    ends, distance = _largest(scan, axis, number)
    planes = [_hung(plane, axis, number) for plane in (scan.reference, scan.prediction)]
    image = None if scan.image is None else _hung(scan.image, axis, number)
    pixel = (scan.spacing_mm[others[1]], scan.spacing_mm[others[0]])
    last = np.asarray(planes[0].shape) - 1
    shown = _cropped(image, (planes[0], planes[1]), pixel, [last - p[[others[1], others[0]]] for p in ends])
    plane = f"{_PLANES[axis]} slice" if scan.is_oriented else "slice"
    slices = tuple(int(p[axis]) + 1 for p in ends)
    return replace(
        shown,
        sides=_SIDES[axis] if scan.is_oriented else _NO_SIDES,
        where=f"{plane} {number + 1} of {counts.size}",
        arrow_mm=distance,
        arrow_slices=slices,
        is_across=any(n != number + 1 for n in slices),
    )


def _largest(scan: Scan, axis: int, number: int | None) -> tuple[list[Floats], float]:
    """Both ends of the largest distance of the volume, and mm; of equal ones, one near slice `number`."""
    box = bounds([scan.reference, scan.prediction], scan.spacing_mm, 0.0)
    start = np.asarray([part.start for part in box])
    plane = None if number is None else (axis, number - box[axis].start)
    found = largest_distance(scan.reference[box], scan.prediction[box], scan.spacing_mm, plane)
    return ([], 0.0) if found is None else ([point + start for point in found[:2]], found[2])


def eight_bit(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey values from the 0.5th to the 99.5th percentile spread over 0 to 255; 8-bit colours as they are."""
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[-1] == 3:
        return image
    known = image[np.isfinite(image)]
    if known.size == 0:
        return np.zeros(image.shape, np.uint8)
    low, high = np.percentile(known, [0.5, 99.5])
    width = float(high - low) or 1.0
    scaled = (np.nan_to_num(image.astype(np.float32), nan=float(low)) - low) / width
    return np.asarray(np.clip(scaled * 255, 0, 255).astype(np.uint8))


def bounds(masks: list[Mask], spacing_mm: tuple[float, ...], margin_mm: float) -> tuple[slice, ...]:
    """The box round all masks and a margin, cut at the edges; the whole grid where all masks are empty."""
    union = np.logical_or.reduce(masks)
    found = []
    for axis in range(union.ndim):
        others = tuple(a for a in range(union.ndim) if a != axis)
        filled = np.flatnonzero(union.any(axis=others))
        if filled.size == 0:
            return tuple(slice(0, n) for n in union.shape)
        reach = round(max(margin_mm, 0.25 * filled.size * spacing_mm[axis]) / spacing_mm[axis])
        start, stop = max(0, int(filled[0]) - reach), min(union.shape[axis], int(filled[-1]) + 1 + reach)
        found.append(slice(start, stop))
    return tuple(found)


def largest_distance(
    a: Mask, b: Mask, pixel_mm: tuple[float, ...], plane: tuple[int, int] | None = None
) -> tuple[Floats, Floats, float] | None:
    """The boundary voxel of either mask that lies furthest from the other boundary, its nearest one, and mm.

    Of several it is the one nearest to `plane`, an axis and a number along it. None where a mask is empty or
    the boundaries are the same.
    """
    first, second = np.argwhere(_edge(a)).astype(float), np.argwhere(_edge(b)).astype(float)
    if not first.size or not second.size:
        return None
    scale = np.asarray(pixel_mm)
    there, back = (cKDTree(q * scale).query(p * scale) for p, q in ((first, second), (second, first)))
    (points, targets, (distance, nearest)) = max(
        ((first, second, there), (second, first, back)), key=lambda side: float(side[2][0].max())
    )
    equal = np.flatnonzero(distance > distance.max() - 1e-9)
    axis, number = plane or (0, 0)
    furthest = int(equal[np.abs(points[equal, axis] - number).argmin()])
    if distance[furthest] == 0:
        return None
    return points[furthest], targets[nearest[furthest]], float(distance[furthest])


def _across(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> int:
    """The axis to look along: that of length one, else of the thickest voxel side, else head to foot."""
    if shape.count(1) == 1:
        return shape.index(1)
    thickest = int(np.argmax(spacing_mm))
    return thickest if spacing_mm[thickest] >= _THICK * min(spacing_mm) else 2


def _hung(array: NDArray[Any], axis: int, number: int) -> NDArray[Any]:
    """A slice with rows from head or front, and columns from the patient's right or front."""
    plane = np.take(array, number, axis=axis)
    return np.asarray(plane.swapaxes(0, 1)[::-1, ::-1])


def _cropped(
    image: NDArray[Any] | None, masks: tuple[Mask, Mask], pixel: tuple[float, ...], ends: list[Floats]
) -> Slice:
    """The slice cut round both masks and the arrow's ends, with no word yet about what it is."""
    height, width = float(pixel[0]), float(pixel[1])
    touched = np.zeros_like(masks[0])
    for row, column in ends:
        touched[int(row), int(column)] = True
    box = bounds([*masks, touched], (height, width), _MARGIN_MM)
    shown = np.zeros((1, 1), np.uint8) if image is None else eight_bit(image[box])
    step = -(-max(shown.shape[:2]) // _MOST_PIXELS)
    start = np.asarray([part.start for part in box])
    arrow = (_point(ends[0] - start), _point(ends[1] - start)) if ends else None
    cut = masks[0][box], masks[1][box]
    return Slice(shown[::step, ::step], *cut, (height, width), _NO_SIDES, "", arrow, 0.0)


def _point(at: Floats) -> tuple[float, float]:
    return float(at[0]), float(at[1])


def _edge(mask: Mask) -> Mask:
    """Pixels, or voxels, with a face neighbour outside; outside the image counts as outside."""
    padded = np.pad(mask, 1)
    inside = np.ones_like(mask)
    for axis in range(mask.ndim):
        for shift in (0, 2):
            cut = [slice(1, -1)] * mask.ndim
            cut[axis] = slice(shift, shift + mask.shape[axis])
            inside &= padded[tuple(cut)]
    return np.asarray(mask & ~inside)
