"""Masks as rows of bits, 64 voxels in a word, and their surfaces by shifting and comparing whole words.

The bit rows of a box have one more row on each side of both row axes, and bit `LEAD + k` of a row is the
box's column k, so that a neighbour is always there and empty outside the box. Surfaces have a border of
empty rows wide enough for the search. Every function here reads bits in the same order: rows, then columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.extending import intrinsic

LEAD = 32
"""Empty bits before a row's first column: half of what the search looks at in one step."""
_WORD = ir.IntType(64)


@intrinsic
def ones(typing: Any, word: Any) -> Any:
    """How many bits of a word are set."""
    del typing

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        return builder.ctpop(arguments[0])

    return word(word), build


@intrinsic
def zeros_below(typing: Any, word: Any) -> Any:
    """How many bits lie below the lowest set bit of a word; 64 where none is set."""
    del typing

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return word(word), build


@intrinsic
def zeros_above(typing: Any, word: Any) -> Any:
    """How many bits lie above the highest set bit of a word; 64 where none is set."""
    del typing

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return word(word), build


@njit(cache=True, nogil=True)
def count_bits(bits: Any) -> int:
    """How many bits are set."""
    n = 0
    for word in bits.reshape(-1):
        n += np.int64(ones(word))
    return n


@njit(cache=True, nogil=True)
def whole_words(codes: Any) -> Any:
    """Flat codes, aligned to 8 bytes, as words, and the last codes as a word filled up with 0."""
    step = 8 // codes.itemsize
    n_words = len(codes) // step
    rest = np.zeros(step, codes.dtype)
    rest[: len(codes) - n_words * step] = codes[n_words * step :]
    return codes[: n_words * step].view(np.uint64), rest.view(np.uint64)[0]


@njit(cache=True, nogil=True)
def _members(word: Any, member: Any, step: int, width: Any) -> Any:
    """A bit for each code in a word, the first code lowest."""
    found, code_mask = np.uint64(0), (np.uint64(1) << width) - np.uint64(1)
    for c in range(step):
        code = (word >> (np.uint64(c) * width)) & code_mask
        found |= np.uint64(member[code]) << np.uint64(c)
    return found


@njit(cache=True, nogil=True)
def pack(codes: Any, grid: Any, member: Any, low: Any, size: Any, spans: Any) -> Any:
    """The bit rows of a box, one row and one column more on each side: (size[0] + 2, size[1] + 2, words).

    Args:
        codes: C-contiguous and flat, aligned to 8 bytes.
        grid: lengths of the three axes of the codes.
        member: 1 for the codes that are in, 0 for the others and for code 0.
        low: first voxel of the box.
        size: voxels of the box along each axis.
        spans: first and last column to look at in each row, -1 where none, shape (grid[0], grid[1], 2).
    """
    step, width = 8 // codes.itemsize, np.uint64(8 * codes.itemsize)
    words, tail = whole_words(codes)
    out = np.zeros((size[0] + 2, size[1] + 2, (size[2] + 1) // 64 + 2), np.uint64)
    one, seen, known = np.uint64(1), np.uint64(0), np.uint64(0)
    for i in range(max(low[0] - 1, 0), min(low[0] + size[0] + 1, grid[0])):
        for j in range(max(low[1] - 1, 0), min(low[1] + size[1] + 1, grid[1])):
            start, stop = max(spans[i, j, 0], low[2] - 1), min(spans[i, j, 1], low[2] + size[2])
            if spans[i, j, 0] < 0 or stop < start:
                continue
            row, line = (i * grid[1] + j) * grid[2], out[i - low[0] + 1, j - low[1] + 1]
            for w in range((row + start) // step, (row + stop) // step + 1):
                word = words[w] if w < len(words) else tail
                if word == 0:
                    continue
                if word != seen:
                    seen, known = word, _members(word, member, step, width)
                at, bits = w * step - row, known
                if at < start:
                    bits = bits >> np.uint64(start - at) << np.uint64(start - at)
                if at + step > stop + 1:
                    bits &= (one << np.uint64(stop + 1 - at)) - one
                if bits == 0:
                    continue
                place = at - low[2] + LEAD
                line[place >> 6] |= bits << np.uint64(place & 63)
                if place & 63 > 64 - step:
                    line[(place >> 6) + 1] |= bits >> np.uint64(64 - (place & 63))
    return out


@njit(cache=True, nogil=True)
def boundary_bits(mask: Any, deep: bool, border: Any) -> Any:
    """The voxels with a face neighbour outside the mask, with `border` empty rows around the box."""
    n0, n1, n_words = mask.shape
    out = np.zeros((n0 - 2 + 2 * border[0], n1 - 2 + 2 * border[1], n_words), np.uint64)
    one, end = np.uint64(1), np.uint64(63)
    for a in range(1, n0 - 1):
        for b in range(1, n1 - 1):
            before, word = np.uint64(0), mask[a, b, 0]
            for w in range(n_words):
                after = mask[a, b, w + 1] if w + 1 < n_words else np.uint64(0)
                if word:
                    inner = word & ((word << one) | (before >> end)) & ((word >> one) | (after << end))
                    inner &= mask[a, b - 1, w] & mask[a, b + 1, w]
                    if deep:
                        inner &= mask[a - 1, b, w] & mask[a + 1, b, w]
                    out[a - 1 + border[0], b - 1 + border[1], w] = word & ~inner
                before, word = word, after
    return out


@njit(cache=True, nogil=True)
def touching_bits(mask: Any, deep: bool, border: Any) -> Any:
    """The voxels of the box that are in the mask or have a face neighbour in it."""
    n0, n1, n_words = mask.shape
    out = np.zeros((n0 - 2 + 2 * border[0], n1 - 2 + 2 * border[1], n_words), np.uint64)
    one, end = np.uint64(1), np.uint64(63)
    for a in range(1, n0 - 1):
        for b in range(1, n1 - 1):
            before, word = np.uint64(0), mask[a, b, 0]
            for w in range(n_words):
                after = mask[a, b, w + 1] if w + 1 < n_words else np.uint64(0)
                near = word | (word << one) | (before >> end) | (word >> one) | (after << end)
                near |= mask[a, b - 1, w] | mask[a, b + 1, w]
                if deep:
                    near |= mask[a - 1, b, w] | mask[a + 1, b, w]
                out[a - 1 + border[0], b - 1 + border[1], w] = near
                before, word = word, after
    return out


@njit(cache=True, nogil=True)
def corner_bits(mask: Any, deep: bool, border: Any, every: bool) -> Any:
    """The corners that have voxels of the mask around them, and others, too, unless `every` one is wanted.

    Corner (i, j, k) lies before voxel (i, j, k) of the box; there is one more than voxels along each axis,
    but one alone along the first axis where it is not `deep`.
    """
    n0, n1, n_words = mask.shape
    out = np.zeros(((n0 - 1 if deep else 1) + 2 * border[0], n1 - 1 + 2 * border[1], n_words), np.uint64)
    for a in range(n0 - 1 if deep else 1):
        above, below = (a, a + 1) if deep else (1, 1)
        for b in range(n1 - 1):
            last_any, last_all = np.uint64(0), np.uint64(0)
            for w in range(n_words):
                p, q = mask[above, b, w], mask[above, b + 1, w]
                r, s = mask[below, b, w], mask[below, b + 1, w]
                some, whole = p | q | r | s, p & q & r & s
                union = some | (some << np.uint64(1)) | (last_any >> np.uint64(63))
                shared = whole & ((whole << np.uint64(1)) | (last_all >> np.uint64(63)))
                out[a + border[0], b + border[1], w] = union if every else union & ~shared
                last_any, last_all = some, whole
    return out


@njit(cache=True, nogil=True)
def corner_codes(corners: Any, mask: Any, deep: bool, border: Any, weights: Any, n: int) -> Any:
    """The code of each of `n` corners: what its neighbours in the mask add up to.

    Args:
        corners: as `corner_bits` gives them.
        mask: whose corners they are.
        deep: as in `corner_bits`.
        border: of `corners`.
        weights: what each neighbour adds, shape (2, 2, 2), last index along the row.
        n: set bits of `corners`.
    """
    codes, at, one = np.empty(n, np.uint8), 0, np.uint64(1)
    for a in range(corners.shape[0] - 2 * border[0]):
        for b in range(corners.shape[1] - 2 * border[1]):
            for w in range(corners.shape[2]):
                word = corners[a + border[0], b + border[1], w]
                while word:
                    column = 64 * w + np.int64(zeros_below(word))
                    word &= word - one
                    code = 0
                    for x in range(2 if deep else 1):
                        for y in range(2):
                            line = mask[a + x if deep else 1, b + y]
                            for z in range(2):
                                place = column - 1 + z
                                bit = (line[place >> 6] >> np.uint64(place & 63)) & one
                                code += weights[x, y, z] * np.int64(bit)
                    codes[at] = code
                    at += 1
    return codes
