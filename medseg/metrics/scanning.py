"""Compiled passes over two label maps: counts of all structures and their surfaces.

A surface point is one number: its place on the grid counted row by row. Rows are compared eight voxels at a
time, and only voxels whose neighbours differ are looked at closely. Code 0 is background in every table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit


@njit(cache=True, nogil=True)
def _grown(array: Any) -> Any:
    larger = np.empty(2 * len(array), array.dtype)
    larger[: len(array)] = array
    return larger


@njit(cache=True, nogil=True)
def _outer_bits(codes: Any, bits: Any, i: int, j: int, k: int, deep: bool) -> Any:
    """The structures for which a voxel is surface: its own without those that all face neighbours share."""
    n0, n1, n2 = codes.shape
    own = bits[codes[i, j, k]]
    if own == 0:
        return own
    inside = 0 < j < n1 - 1 and 0 < k < n2 - 1 and (not deep or 0 < i < n0 - 1)
    if not inside:
        shared = own
        shared = shared & (bits[codes[i, j, k - 1]] if k > 0 else np.uint64(0))
        shared = shared & (bits[codes[i, j, k + 1]] if k < n2 - 1 else np.uint64(0))
        shared = shared & (bits[codes[i, j - 1, k]] if j > 0 else np.uint64(0))
        shared = shared & (bits[codes[i, j + 1, k]] if j < n1 - 1 else np.uint64(0))
        if deep:
            shared = shared & (bits[codes[i - 1, j, k]] if i > 0 else np.uint64(0))
            shared = shared & (bits[codes[i + 1, j, k]] if i < n0 - 1 else np.uint64(0))
        return own & ~shared
    shared = bits[codes[i, j, k - 1]] & bits[codes[i, j, k + 1]]
    shared = shared & bits[codes[i, j - 1, k]] & bits[codes[i, j + 1, k]]
    if deep:
        shared = shared & bits[codes[i - 1, j, k]] & bits[codes[i + 1, j, k]]
    return own & ~shared


@njit(cache=True, nogil=True)
def _touches(ignored: Any, i: int, j: int, k: int, deep: bool) -> bool:
    n0, n1, n2 = ignored.shape
    return (
        ignored[i, j, k]
        or (k > 0 and ignored[i, j, k - 1])
        or (k < n2 - 1 and ignored[i, j, k + 1])
        or (j > 0 and ignored[i, j - 1, k])
        or (j < n1 - 1 and ignored[i, j + 1, k])
        or (deep and i > 0 and ignored[i - 1, j, k])
        or (deep and i < n0 - 1 and ignored[i + 1, j, k])
    )


@njit(cache=True, nogil=True)
def _either(one: Any, other: Any, out: Any) -> None:
    for k in range(len(one)):
        out[k] = one[k] | other[k]


@njit(cache=True, nogil=True)
def _widen(spans: Any, side: int, i: int, j: int, k: int) -> None:
    if spans[side, 0, i, j] < 0:
        spans[side, 0, i, j] = k
    spans[side, 1, i, j] = k


@njit(cache=True, nogil=True)
def count_classes(
    prediction: Any, reference: Any, classes_p: Any, classes_r: Any, n_classes: int, ignored: Any
) -> Any:
    """Voxels per pair of classes, and the sums of their coordinates per class.

    Args:
        prediction: codes, C-contiguous, shape (n0, n1, n2).
        reference: codes of the same type and shape.
        classes_p: class of each code of the prediction; 0 is the class of code 0.
        classes_r: the same for the reference.
        n_classes: how many classes there are.
        ignored: voxels that do not count, the same shape, or of shape (0, 0, 0).

    Returns:
        Joint counts (classes, classes), without the voxels of code 0 in both; coordinate sums
        (2, classes, 3); the first and last column with a code in each row (2, 2, n0, n1), -1 where none.
    """
    n0, n1, n2 = prediction.shape
    joint = np.zeros((n_classes, n_classes), np.int64)
    sums = np.zeros((2, n_classes, 3), np.int64)
    in_row = np.zeros((2, n_classes), np.int64)
    spans = np.full((2, 2, n0, n1), -1, np.int32)
    step = 8 // prediction.itemsize
    line = np.zeros((n2 + step - 1) // step * step, prediction.dtype)
    words = line.view(np.uint64)
    for i in range(n0):
        for j in range(n1):
            row_p, row_r = prediction[i, j], reference[i, j]
            _either(row_p, row_r, line[:n2])
            used = False
            for w in range(len(words)):
                if words[w] == 0:
                    continue
                if not used:
                    used = True
                    in_row[:] = 0
                for k in range(w * step, min(w * step + step, n2)):
                    a, b = row_p[k], row_r[k]
                    if a == 0 and b == 0:
                        continue
                    if a != 0:
                        _widen(spans, 0, i, j, k)
                    if b != 0:
                        _widen(spans, 1, i, j, k)
                    if ignored.size and ignored[i, j, k]:
                        continue
                    ca, cb = classes_p[a], classes_r[b]
                    joint[ca, cb] += 1
                    in_row[0, ca] += 1
                    in_row[1, cb] += 1
                    sums[0, ca, 2] += k
                    sums[1, cb, 2] += k
            if used:
                for side in range(2):
                    for c in range(n_classes):
                        sums[side, c, 0] += i * in_row[side, c]
                        sums[side, c, 1] += j * in_row[side, c]
    return joint, sums, spans


@njit(cache=True, nogil=True)
def _differs(row: Any, above: Any, below: Any, out: Any) -> None:
    """Non-zero where a voxel differs from a neighbour in its row or two rows beside it; the ends always."""
    n = len(row)
    for k in range(1, n - 1):
        out[k] = (row[k] ^ row[k - 1]) | (row[k] ^ row[k + 1]) | (row[k] ^ above[k]) | (row[k] ^ below[k])
    out[0] = 1
    out[n - 1] = 1


@njit(cache=True, nogil=True)
def _differs_too(row: Any, above: Any, below: Any, out: Any) -> None:
    for k in range(len(row)):
        out[k] |= (row[k] ^ above[k]) | (row[k] ^ below[k])


@njit(cache=True, nogil=True)
def surface_voxels(codes: Any, bits: Any, spans: Any, deep: bool, ignored: Any) -> Any:
    """Every boundary voxel in row order: its place, its structures, and whether it touches an ignored voxel.

    Args:
        codes: C-contiguous, shape (n0, n1, n2).
        bits: the structures of each code.
        spans: first and last column to look at in each row, shape (2, n0, n1).
        deep: whether the first axis has neighbours; off for one slice.
        ignored: as in `count_classes`.
    """
    n0, n1, n2 = codes.shape
    places, found, barred = np.empty(1024, np.int64), np.empty(1024, np.uint64), np.empty(1024, np.bool_)
    n = 0
    step = 8 // codes.itemsize
    line = np.zeros((n2 + step - 1) // step * step, codes.dtype)
    words = line.view(np.uint64)
    for i in range(n0):
        for j in range(n1):
            first, last = spans[0, i, j], spans[1, i, j]
            if first < 0:
                continue
            row = codes[i, j]
            # A row at the image's edge stands beside itself; `_outer_bits` knows better where it matters.
            edge = j == 0 or j == n1 - 1 or (deep and (i == 0 or i == n0 - 1))
            if edge:
                line[first : last + 1] = 1
            else:
                part = slice(first, last + 1)
                _differs(row[part], codes[i, j - 1][part], codes[i, j + 1][part], line[part])
                if deep:
                    _differs_too(row[part], codes[i - 1, j][part], codes[i + 1, j][part], line[part])
            for w in range(first // step, last // step + 1):
                if words[w] == 0:
                    continue
                for k in range(max(w * step, first), min(w * step + step, last + 1)):
                    if line[k] == 0 or row[k] == 0:
                        continue
                    outer = _outer_bits(codes, bits, i, j, k, deep)
                    if outer:
                        if n == len(places):
                            places, found, barred = _grown(places), _grown(found), _grown(barred)
                        places[n] = (np.int64(i) * n1 + j) * n2 + k
                        found[n] = outer
                        barred[n] = ignored.size > 0 and _touches(ignored, i, j, k, deep)
                        n += 1
            line[first : last + 1] = 0
    return places[:n], found[:n], barred[:n]


@njit(cache=True, nogil=True)
def element_corners(codes: Any, bits: Any, spans: Any, deep: bool, weights: Any) -> Any:
    """Every corner between voxels that differ: its place on the corners' grid, a structure, and its code.

    Args:
        codes: C-contiguous, shape (n0, n1, n2).
        bits: the structures of each code.
        spans: as in `surface_voxels`.
        deep: off for one slice, whose corners have four voxels around them.
        weights: what each neighbour adds to a code, shape (2, 2, 2), last index along the row.
    """
    n0, n1, n2 = codes.shape
    places, owners, elements = np.empty(1024, np.int64), np.empty(1024, np.uint8), np.empty(1024, np.uint8)
    n = 0
    none = np.uint64(0)
    before, after = np.zeros((2, 2), np.uint64), np.zeros((2, 2), np.uint64)
    for i in range(n0 + 1 if deep else 1):
        for j in range(n1 + 1):
            low, high = n2, -1
            for a in range(2):
                for b in range(2):
                    ii, jj = (i - 1 + a if deep else 0), j - 1 + b
                    if 0 <= ii < n0 and 0 <= jj < n1 and spans[0, ii, jj] >= 0:
                        low, high = min(low, spans[0, ii, jj]), max(high, spans[1, ii, jj])
            if high < 0:
                continue
            before[:] = none
            for k in range(low, high + 2):
                union, shared = none, ~none
                for a in range(2):
                    for b in range(2):
                        ii, jj = (i - 1 + a if deep else 0), j - 1 + b
                        if 0 <= ii < n0 and 0 <= jj < n1 and k < n2:
                            after[a, b] = bits[codes[ii, jj, k]]
                        else:
                            after[a, b] = none
                        union |= after[a, b] | before[a, b]
                        shared &= after[a, b] & before[a, b]
                border = union & ~shared
                s = 0
                while border:
                    if border & np.uint64(1):
                        code = 0
                        for a in range(2):
                            for b in range(2):
                                code += weights[a, b, 0] * np.int64(
                                    (before[a, b] >> np.uint64(s)) & np.uint64(1)
                                )
                                code += weights[a, b, 1] * np.int64(
                                    (after[a, b] >> np.uint64(s)) & np.uint64(1)
                                )
                        if n == len(places):
                            places, owners, elements = _grown(places), _grown(owners), _grown(elements)
                        places[n] = (np.int64(i) * (n1 + 1) + j) * (n2 + 1) + k
                        owners[n] = s
                        elements[n] = code
                        n += 1
                    border >>= np.uint64(1)
                    s += 1
                before[:] = after
    return places[:n], owners[:n], elements[:n]


def classes_of(
    *tables: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.uint64], list[npt.NDArray[np.uint16]]]:
    """The distinct sets of structures in the tables, the empty one first, and each table as their numbers."""
    patterns = np.unique(np.concatenate([np.zeros(1, np.uint64), *tables]))
    return patterns, [np.searchsorted(patterns, table).astype(np.uint16) for table in tables]
