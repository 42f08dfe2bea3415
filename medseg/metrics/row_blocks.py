"""Blocks of 8x8 rows of bits by their bounding boxes, for the surface that lies far from a query."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from medseg.metrics.bitrows import zeros_above, zeros_below

_SIDE = 8


@njit(cache=True, nogil=True)
def bounding_blocks(held: Any, border: Any) -> Any:
    """The blocks of rows that hold bits: first and last row on both axes and bit, shape (n, 6)."""
    n0, n1, n_words = held.shape
    blocks = np.empty(((n0 // _SIDE + 1) * (n1 // _SIDE + 1), 6), np.int64)
    n = 0
    for top in range(border[0], n0 - border[0], _SIDE):
        for left in range(border[1], n1 - border[1], _SIDE):
            i0, i1, j0, j1, k0, k1 = n0, -1, n1, -1, 64 * n_words, -1
            for i in range(top, min(top + _SIDE, n0 - border[0])):
                for j in range(left, min(left + _SIDE, n1 - border[1])):
                    for w in range(n_words):
                        word = held[i, j, w]
                        if word:
                            i0, i1, j0, j1 = min(i0, i), max(i1, i), min(j0, j), max(j1, j)
                            k0 = min(k0, 64 * w + np.int64(zeros_below(word)))
                            k1 = max(k1, 64 * w + 63 - np.int64(zeros_above(word)))
            if i1 >= 0:
                blocks[n] = (i0, i1, j0, j1, k0, k1)
                n += 1
    return blocks[:n]


@njit(cache=True, nogil=True)
def _nearest_bit(line: Any, k: int) -> int:
    """The set bit nearest to k in a row; -1 where none is set."""
    at, up, down = k >> 6, -1, -1
    word = line[at] >> np.uint64(k & 63)
    if word:
        up = k + np.int64(zeros_below(word))
    w = at + 1
    while up < 0 and w < len(line):
        if line[w]:
            up = 64 * w + np.int64(zeros_below(line[w]))
        w += 1
    word = line[at] << np.uint64(63 - (k & 63))
    if word:
        down = k - np.int64(zeros_above(word))
    w = at - 1
    while down < 0 and w >= 0:
        if line[w]:
            down = 64 * w + 63 - np.int64(zeros_above(line[w]))
        w -= 1
    return down if up < 0 or (down >= 0 and k - down < up - k) else up


@njit(cache=True, nogil=True)
def _outside(low: int, high: int, at: int) -> int:
    """How many steps `at` lies outside the interval."""
    if at < low:
        return low - at
    return at - high if at > high else 0


@njit(cache=True, nogil=True)
def nearest_by_blocks(held: Any, blocks: Any, steps: Any, place: Any, guess: Any) -> Any:
    """Squared distance and place of the nearest bit by blocks, if nearer than `guess`, else the guess."""
    s0, s1, s2 = steps
    i, j, k = place
    best, ti, tj, tk = guess
    for n in range(len(blocks)):
        box = blocks[n]
        bound = (_outside(box[0], box[1], i) * s0) ** 2 + (_outside(box[2], box[3], j) * s1) ** 2
        if bound + (_outside(box[4], box[5], k) * s2) ** 2 >= best:
            continue
        for a in range(box[0], box[1] + 1):
            for b in range(box[2], box[3] + 1):
                plane = ((i - a) * s0) ** 2 + ((j - b) * s1) ** 2
                if plane >= best:
                    continue
                at = _nearest_bit(held[a, b], k)
                found = plane + ((k - at) * s2) ** 2
                if at >= 0 and found < best:
                    best, ti, tj, tk = found, a, b, at
    return best, ti, tj, tk
