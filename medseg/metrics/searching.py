"""Distances from surface to surface without a distance transform: exact, and only where there is surface.

The target lies in rows, each with its sorted columns. Rows around a query are visited by growing distance
and the walk ends where the next row is further than the best answer; the answer of the previous query, which
lies near by, bounds the first guess. A query that finds nothing in the nearest rows compares blocks of 8x8
rows by their bounding boxes instead, so that a far island costs little.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from medseg.metrics.measures import Distances

_NEAR_ROWS = 512
_SIDE = 8

Places = npt.NDArray[np.int64]


def nearest(
    queries: Places, targets: Places, grid: tuple[int, int, int], spacing_mm: tuple[float, ...]
) -> Distances:
    """Millimetres from each query to its nearest target, both as sorted places on a grid; shape of `queries`.

    Args:
        queries: places counted row by row, shape (n,).
        targets: the same, at least one.
        grid: lengths of the axes; the last one is the row.
        spacing_mm: along the same axes.
    """
    if not len(queries):
        return np.zeros(0)
    rows, columns = np.divmod(targets, grid[2])
    first = rows // grid[1]
    second = rows - first * grid[1]
    low = np.asarray([first[0], second.min()])
    size = np.asarray([first[-1] - first[0] + 1, second.max() - low[1] + 1])
    starts = np.zeros(int(size[0] * size[1]) + 1, np.int64)
    local = (first - low[0]) * size[1] + (second - low[1])
    starts[1:] = np.cumsum(np.bincount(local, minlength=len(starts) - 1))
    columns = columns.astype(np.int32)
    steps = np.asarray(spacing_mm, np.float64)
    offsets, reach = _near_offsets(tuple(grid), tuple(spacing_mm))
    boxes = _boxes(starts, columns, size)
    words = _row_bits(starts, columns, int(columns.min()))
    return _search(
        queries, np.asarray(grid), starts, columns, low, size, steps, *offsets, reach, boxes, words
    )


@lru_cache(maxsize=8)
def _near_offsets(grid: tuple[int, int, int], spacing_mm: tuple[float, ...]) -> Any:
    """Steps to the nearest rows, nearest first, and the squared distance up to which none is left out."""
    a, b, _ = spacing_mm
    radius = float(np.sqrt(_NEAR_ROWS * a * b / np.pi)) if grid[0] > 1 else _NEAR_ROWS * b / 2
    span = min(int(radius / a), grid[0] - 1), min(int(radius / b), grid[1] - 1)
    di, dj = np.meshgrid(np.arange(-span[0], span[0] + 1), np.arange(-span[1], span[1] + 1), indexing="ij")
    squared = (di * a) ** 2 + (dj * b) ** 2
    kept = squared <= radius**2
    order = np.argsort(squared[kept], kind="stable")
    di, dj, squared = di[kept][order], dj[kept][order], squared[kept][order]
    return (di, dj, squared), radius**2


@njit(cache=True, nogil=True)
def _boxes(starts: Any, columns: Any, size: Any) -> Any:
    """The blocks of rows that hold targets: first and last row on both axes and column, shape (n, 6)."""
    n_i, n_j = (size[0] + _SIDE - 1) // _SIDE, (size[1] + _SIDE - 1) // _SIDE
    boxes = np.empty((n_i * n_j, 6), np.int64)
    n = 0
    for bi in range(n_i):
        for bj in range(n_j):
            i0, i1, j0, j1, k0, k1 = size[0], -1, size[1], -1, np.int64(1) << 60, np.int64(-1)
            for i in range(bi * _SIDE, min((bi + 1) * _SIDE, size[0])):
                for j in range(bj * _SIDE, min((bj + 1) * _SIDE, size[1])):
                    a, b = starts[i * size[1] + j], starts[i * size[1] + j + 1]
                    if a < b:
                        i0, i1, j0, j1 = min(i0, i), max(i1, i), min(j0, j), max(j1, j)
                        k0, k1 = min(k0, columns[a]), max(k1, columns[b - 1])
            if i1 >= 0:
                boxes[n] = (i0, i1, j0, j1, k0, k1)
                n += 1
    return boxes[:n]


@njit(cache=True, nogil=True)
def _row_bits(starts: Any, columns: Any, first: int) -> Any:
    """Each row as bits from the column `first` on, between two empty words, shape (rows, words)."""
    words = np.zeros((len(starts) - 1, (columns.max() - first) // 64 + 3), np.uint64)
    for row in range(len(starts) - 1):
        for at in range(starts[row], starts[row + 1]):
            place = columns[at] - first + 64
            words[row, place >> 6] |= np.uint64(1) << np.uint64(place & 63)
    return words


@njit(cache=True, nogil=True)
def _nearest_column(columns: Any, start: int, stop: int, k: int) -> int:
    """The place in the row of the column nearest to k."""
    if stop - start <= 8:
        best = start
        for at in range(start + 1, stop):
            if abs(columns[at] - k) < abs(columns[best] - k):
                best = at
        return best
    low, high = start, stop
    while low < high:
        middle = (low + high) // 2
        if columns[middle] < k:
            low = middle + 1
        else:
            high = middle
    if low == stop or (low > start and k - columns[low - 1] <= columns[low] - k):
        return low - 1
    return low


@njit(cache=True, nogil=True)
def _outside(low: int, high: int, at: int) -> int:
    """How many steps `at` lies outside the interval."""
    if at < low:
        return low - at
    return at - high if at > high else 0


@njit(cache=True, nogil=True)
def _search(
    queries: Any,
    grid: Any,
    starts: Any,
    columns: Any,
    low: Any,
    size: Any,
    steps: Any,
    di: Any,
    dj: Any,
    squared: Any,
    reach: float,
    boxes: Any,
    words: Any,
) -> Any:
    k_low = boxes[:, 4].min()
    one, last_window = np.uint64(1), 64 * (words.shape[1] - 1)
    # Where the best answer is nearer than this, a row is asked by its 64 bits around the query.
    near = (31 * steps[2]) ** 2
    distances = np.empty(len(queries), np.float64)
    # The answer of the previous query; at first any target.
    t_i, t_j, t_k = np.int64(boxes[0, 0]), np.int64(boxes[0, 2]), np.int64(boxes[0, 4])
    row = t_i * size[1]
    for j in range(size[1]):
        if starts[row + j] < starts[row + j + 1]:
            t_j, t_k = np.int64(j), np.int64(columns[starts[row + j]])
            break
    s0, s1, s2 = steps
    for q in range(len(queries)):
        place = queries[q]
        line = place // grid[2]
        k = place - line * grid[2]
        i = line // grid[1]
        j = line - i * grid[1] - low[1]
        i -= low[0]
        best = ((i - t_i) * s0) ** 2 + ((j - t_j) * s1) ** 2 + ((k - t_k) * s2) ** 2
        away = (_outside(0, size[0] - 1, i) * s0) ** 2 + (_outside(0, size[1] - 1, j) * s1) ** 2
        settled = False
        window = k - k_low + 32
        beside = 0 <= window < last_window
        word, shift = window >> 6, np.uint64(window & 63)
        mask, masked = np.uint64(0), np.inf
        if away <= reach:
            for o in range(len(squared)):
                if squared[o] >= best:
                    settled = True
                    break
                a, b = i + di[o], j + dj[o]
                if a < 0 or a >= size[0] or b < 0 or b >= size[1]:
                    continue
                row = a * size[1] + b
                if beside and best < near:
                    if best != masked:
                        # Columns that could be nearer than the best answer so far.
                        masked, w = best, np.uint64(np.sqrt(best) / s2)
                        mask = ((one << (w + w + one)) - one) << (np.uint64(32) - w)
                    bits = words[row, word] >> shift
                    bits |= (words[row, word + 1] << one) << (np.uint64(63) - shift)
                    if bits & mask == 0:
                        continue
                start, stop = starts[row], starts[row + 1]
                if start == stop:
                    continue
                at = columns[_nearest_column(columns, start, stop, k)]
                found = squared[o] + ((k - at) * s2) ** 2
                if found < best:
                    best, t_i, t_j, t_k = found, a, b, np.int64(at)
            settled = settled or best <= reach
        if not settled:
            for n in range(len(boxes)):
                box = boxes[n]
                bound = (_outside(box[0], box[1], i) * s0) ** 2 + (_outside(box[2], box[3], j) * s1) ** 2
                if bound >= best or bound + (_outside(box[4], box[5], k) * s2) ** 2 >= best:
                    continue
                for a in range(box[0], box[1] + 1):
                    for b in range(box[2], box[3] + 1):
                        plane = ((i - a) * s0) ** 2 + ((j - b) * s1) ** 2
                        start, stop = starts[a * size[1] + b], starts[a * size[1] + b + 1]
                        if plane >= best or start == stop:
                            continue
                        at = columns[_nearest_column(columns, start, stop, k)]
                        found = plane + ((k - at) * s2) ** 2
                        if found < best:
                            best, t_i, t_j, t_k = found, a, b, np.int64(at)
        distances[q] = np.sqrt(best)
    return distances
