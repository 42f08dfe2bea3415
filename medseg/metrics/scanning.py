"""The compiled pass over two label maps that counts all structures at once and finds their boxes.

Voxels are read eight bytes at a time: where both words are of one code each, they count together. Code 0 is
background in every table.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from medseg.metrics.bitrows import whole_words, zeros_below


class Counts(NamedTuple):
    """What one pass over two label maps counts.

    Attributes:
        joint: voxels per pair of classes, without those of code 0 in both, shape (classes, classes).
        sums: of the coordinates of each class, shape (2, classes, 3).
        spans: first and last column with a code in each row, -1 where none, shape (n0, n1, 2, 2).
        boxes: first and last voxel of each class along each axis, shape (2, classes, 3, 2).
    """

    joint: npt.NDArray[np.int64]
    sums: npt.NDArray[np.int64]
    spans: npt.NDArray[np.int32]
    boxes: npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def _add(side: int, c: int, start: int, end: int, in_row: Any, sums: Any, boxes: Any) -> None:
    """Counts the voxels of one class from column `start` to before `end`."""
    in_row[side, c] += end - start
    sums[side, c, 2] += (end - start) * (start + end - 1) // 2
    boxes[side, c, 2, 0] = min(boxes[side, c, 2, 0], start)
    boxes[side, c, 2, 1] = max(boxes[side, c, 2, 1], end - 1)


@njit(cache=True, nogil=True)
def _count(classes: Any, start: int, end: int, joint: Any, in_row: Any, sums: Any, boxes: Any) -> None:
    joint[classes[0], classes[1]] += end - start
    _add(0, classes[0], start, end, in_row, sums, boxes)
    _add(1, classes[1], start, end, in_row, sums, boxes)


@njit(cache=True, nogil=True)
def _close_row(i: int, j: int, in_row: Any, sums: Any, boxes: Any) -> None:
    """Counts a row's voxels along the two other axes and empties it."""
    for side in range(2):
        for c in range(in_row.shape[1]):
            n = in_row[side, c]
            if n == 0:
                continue
            for axis, at in ((0, i), (1, j)):
                sums[side, c, axis] += at * n
                boxes[side, c, axis, 0] = min(boxes[side, c, axis, 0], at)
                boxes[side, c, axis, 1] = max(boxes[side, c, axis, 1], at)
            in_row[side, c] = 0


@njit(cache=True, nogil=True)
def _widen(spans: Any, a: Any, b: Any, start: int, end: int) -> None:
    """Takes columns into a row's spans where the codes are not 0."""
    for side, code in ((0, a), (1, b)):
        if code:
            if spans[side, 0] < 0:
                spans[side, 0] = start
            spans[side, 1] = end - 1


@njit(cache=True, nogil=True)
def _next_used(words_p: Any, words_r: Any, w: int) -> int:
    """The first word from w on with a code other than 0; the number of words where there is none."""
    while w + 4 <= len(words_p):
        some = words_p[w] | words_p[w + 1] | words_p[w + 2] | words_p[w + 3]
        if some | words_r[w] | words_r[w + 1] | words_r[w + 2] | words_r[w + 3]:
            break
        w += 4
    while w < len(words_p) and words_p[w] | words_r[w] == 0:
        w += 1
    return w


@njit(cache=True, nogil=True)
def count_classes(
    prediction: Any, reference: Any, grid: Any, classes_p: Any, classes_r: Any, n_classes: int, ignored: Any
) -> Any:
    """The parts of `Counts`.

    Args:
        prediction: codes, C-contiguous and flat, aligned to 8 bytes.
        reference: codes of the same type and length.
        grid: lengths of the three axes.
        classes_p: class of each code of the prediction; 0 is the class of code 0.
        classes_r: the same for the reference.
        n_classes: how many classes there are.
        ignored: voxels that do not count, flat, or none at all; they are in the spans, not in the boxes.
    """
    n0, n1, n2 = grid
    joint = np.zeros((n_classes, n_classes), np.int64)
    sums, in_row = np.zeros((2, n_classes, 3), np.int64), np.zeros((2, n_classes), np.int64)
    spans = np.full((n0, n1, 2, 2), -1, np.int32)
    boxes = np.empty((2, n_classes, 3, 2), np.int64)
    boxes[:, :, :, 0], boxes[:, :, :, 1] = np.iinfo(np.int64).max, -1
    step, per_code = 8 // prediction.itemsize, np.uint64(3 if prediction.itemsize == 1 else 4)
    code_mask = (np.uint64(1) << (np.uint64(1) << per_code)) - np.uint64(1)
    # One code in every place of a word.
    every = ~np.uint64(0) // code_mask
    words_p, tail_p = whole_words(prediction)
    words_r, tail_r = whole_words(reference)
    i, j, row, w = 0, 0, -n2, 0
    # A stretch of one pair of codes, which counts when it ends: its columns and its codes.
    start, end, code_p, code_r = 0, 0, np.uint64(0), np.uint64(0)
    while True:
        w = _next_used(words_p, words_r, w)
        if w > len(words_p):
            break
        word_p, word_r = (words_p[w], words_r[w]) if w < len(words_p) else (tail_p, tail_r)
        at, stop = w * step, min(w * step + step, len(prediction))
        w += 1
        while at < stop:
            a, b, length = word_p & code_mask, word_r & code_mask, 1
            passed = len(ignored) > 0 and ignored[at] != 0
            if passed or at != row + end or at >= row + n2 or a != code_p or b != code_r:
                if code_p | code_r:
                    classes = classes_p[code_p], classes_r[code_r]
                    _count(classes, start, end, joint, in_row, sums, boxes)
                    _widen(spans[i, j], code_p, code_r, start, end)
                if at >= row + n2:
                    _close_row(i, j, in_row, sums, boxes)
                    i, j, row = at // n2 // n1, at // n2 % n1, at // n2 * n2
                start, code_p, code_r = at - row, a, b
            if not len(ignored):
                # As far as both words go on with these codes.
                other = (word_p ^ (every * a)) | (word_r ^ (every * b))
                length = min(np.int64(zeros_below(other) >> per_code), stop - at, row + n2 - at)
            elif passed:
                _widen(spans[i, j], a, b, at - row, at - row + 1)
                code_p, code_r = np.uint64(0), np.uint64(0)
            at += length
            end = at - row
            if at < stop:
                word_p >>= np.uint64(length) << per_code
                word_r >>= np.uint64(length) << per_code
    if code_p | code_r:
        _count((classes_p[code_p], classes_r[code_r]), start, end, joint, in_row, sums, boxes)
        _widen(spans[i, j], code_p, code_r, start, end)
    _close_row(i, j, in_row, sums, boxes)
    return joint, sums, spans, boxes


def classes_of(
    *tables: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.uint64], list[npt.NDArray[np.uint16]]]:
    """The distinct sets of structures in the tables, the empty one first, and each table as their numbers."""
    patterns = np.unique(np.concatenate([np.zeros(1, np.uint64), *tables]))
    return patterns, [np.searchsorted(patterns, table).astype(np.uint16) for table in tables]
