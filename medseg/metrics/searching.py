"""Distances from surface to surface without a distance transform: exact, and only where there is surface.

Both surfaces are rows of bits on one box. Rows around a query are visited by growing distance, and of each
the 63 columns around the query are looked at in one step, through a mask that lets pass what is nearer than
the best answer so far; the walk ends where the next row is further than that. The first guess is the answer
of the previous query or of the last one in the same column. A query that finds nothing in the nearest rows
compares blocks of 8x8 rows by their bounding boxes instead, so that a far island costs little.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from medseg.metrics.bitrows import count_bits, zeros_above, zeros_below
from medseg.metrics.measures import Distances
from medseg.metrics.row_blocks import bounding_blocks, nearest_by_blocks

_NEAR_ROWS = 256
_FINE = 4
"""Masks per squared column step; whole voxels of equal spacing need one."""
_EPS = 1e-9
"""Of a squared column step over `_FINE`: what is nearer by less than this is not looked for."""


class Near(NamedTuple):
    """The rows around a query.

    Attributes:
        steps: to each row along both row axes, nearest first, shape (n, 2).
        squared: distances, mm2, shape (n,).
        reach: up to which squared distance no row is left out.
        border: rows that `steps` reach beyond a box, along both axes.
    """

    steps: npt.NDArray[np.int64]
    squared: npt.NDArray[np.float64]
    reach: float
    border: tuple[int, int]


@lru_cache(maxsize=64)
def near_rows(size: tuple[int, int], spacing_mm: tuple[float, ...]) -> Near:
    """The rows to visit around each query of a box with `size` rows along the first two axes."""
    a, b, _ = spacing_mm
    radius = float(np.sqrt(_NEAR_ROWS * a * b / np.pi)) if size[0] > 1 else _NEAR_ROWS * b / 2
    border = min(int(radius / a), size[0] - 1), min(int(radius / b), size[1] - 1)
    di, dj = np.meshgrid(*(np.arange(-n, n + 1) for n in border), indexing="ij")
    squared = (di * a) ** 2 + (dj * b) ** 2
    kept = squared <= radius**2
    order = np.argsort(squared[kept], kind="stable")
    steps = np.stack([di[kept][order], dj[kept][order]], axis=1)
    return Near(steps, squared[kept][order], radius**2, border)


@lru_cache(maxsize=1)
def _masks() -> npt.NDArray[np.uint64]:
    """The 63 columns around a query that lie nearer than the root of (index / _FINE) columns."""
    masks = np.zeros(_FINE * 32**2 + 1, np.uint64)
    steps = np.arange(-31, 32)
    bits = np.uint64(1) << (steps + 31).astype(np.uint64)
    for index in range(len(masks)):
        masks[index] = bits[_FINE * steps**2 < index].sum(dtype=np.uint64)
    return masks


def nearest(
    asking: npt.NDArray[np.uint64], held: npt.NDArray[np.uint64], near: Near, spacing_mm: tuple[float, ...]
) -> Distances:
    """Millimetres from each bit of `asking` to the nearest of `held`, both in rows with `near.border` around.

    In the order of bits; `held` has at least one.
    """
    n = count_bits(asking)
    offsets = (near.steps[:, 0] * held.shape[1] + near.steps[:, 1]) * held.shape[2]
    steps = np.asarray(spacing_mm, np.float64)
    return _search(
        asking,
        held,
        n,
        np.asarray(near.border),
        near.steps,
        offsets.astype(np.uint64),
        near.squared,
        near.reach,
        steps,
        _masks(),
    )


@njit(cache=True, nogil=True)
def _nearer(hit: Any) -> int:
    """Signed steps to the bit nearest to the middle of a window that has one."""
    up, down = hit >> np.uint64(31), hit & ((np.uint64(1) << np.uint64(31)) - np.uint64(1))
    right = np.int64(zeros_below(up)) if up else 64
    left = np.int64(zeros_above(down)) - 32 if down else 64
    return right if right <= left else -left


@njit(cache=True, nogil=True)
def _squared(place: Any, ti: int, tj: int, tk: int, steps: Any) -> float:
    """Squared distance to a place; infinite where there is none."""
    if ti < 0:
        return np.inf
    i, j, k = place
    return float(((i - ti) * steps[0]) ** 2 + ((j - tj) * steps[1]) ** 2 + ((k - tk) * steps[2]) ** 2)


@njit(cache=True, nogil=True)
def _search(
    asking: Any,
    held: Any,
    n_asking: int,
    border: Any,
    near: Any,
    offsets: Any,
    squared: Any,
    reach: float,
    steps: Any,
    masks: Any,
) -> Any:
    n0, n1, n_words = held.shape
    flat, one, most = held.reshape(-1), np.uint64(1), np.uint64(63)
    per = _FINE / steps[2] ** 2
    scaled, last_mask = squared * per, float(len(masks) - 1)
    # Only an answer up to here was sought in all rows and columns that could hold it.
    reach = min(reach, (31 * steps[2]) ** 2)
    blocks = np.empty((0, 6), np.int64)
    distances, q = np.empty(n_asking, np.float64), 0
    ti, tj, tk = np.int64(-1), np.int64(0), np.int64(0)
    answers = np.full((64 * n_words, 3), -1, np.int64)
    for i in range(border[0], n0 - border[0]):
        for j in range(border[1], n1 - border[1]):
            for w in range(n_words):
                word, shared = asking[i, j, w], held[i, j, w]
                while word:
                    rest = word & (word - np.uint64(1))
                    if (word ^ rest) & shared:
                        distances[q], word, q = 0, rest, q + 1
                        continue
                    place = i, j, 64 * w + np.int64(zeros_below(word))
                    word = rest
                    ui, uj, uk = answers[place[2]]
                    best = _squared(place, ti, tj, tk, steps)
                    other = _squared(place, ui, uj, uk, steps)
                    if other < best:
                        best, ti, tj, tk = other, ui, uj, uk
                    row, left = (i * n1 + j) * n_words, place[2] - 31
                    base, shift = np.uint64(row + (left >> 6)), np.uint64(left & 63)
                    limit = best * per + (1 - _EPS)
                    for o in range(len(scaled)):
                        room = limit - scaled[o]
                        if room < 1:
                            break
                        at = base + offsets[o]
                        window = (flat[at] >> shift) | (flat[at + one] << one << (most - shift))
                        hit = window & masks[np.int64(min(room, last_mask))]
                        if hit:
                            away = _nearer(hit)
                            found = squared[o] + (away * steps[2]) ** 2
                            if found < best:
                                best, limit = found, found * per + (1 - _EPS)
                                ti, tj, tk = i + near[o, 0], j + near[o, 1], place[2] + away
                    if best > reach:
                        if len(blocks) == 0:
                            blocks = bounding_blocks(held, border)
                        best, ti, tj, tk = nearest_by_blocks(held, blocks, steps, place, (best, ti, tj, tk))
                    distances[q] = np.sqrt(best)
                    answers[place[2]] = ti, tj, tk
                    q += 1
    return distances
