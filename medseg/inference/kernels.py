"""Compiled loops over the voxels of a scan: who wins between grid points, and who must be asked in full.

Arrays come in the order of the scan's file: x, y, z for scores, and the slowest axis first (z, y, x) for
codes and labels, so that planes are contiguous. What is called from outside states its types: it is compiled
when this module is first imported, and remembered, before a stranger's bundle is kept from writing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import boolean, float32, float64, int16, int64, njit, types, uint16, void

from medseg.inference.decision import ACTIVATIONS

SOFTMAX, SIGMOID = ACTIVATIONS.index("softmax"), ACTIVATIONS.index("sigmoid")
"""Compiled code compares numbers."""
MIXED = -1
"""What corners say that disagree; no code."""
WHOLE = 1 - 1e-9
"""What the weights of a voxel between points of the grid sum to, but for rounding."""

_SCORES = float32[:, :, :, :]
_AXIS = types.Tuple((int64[:, ::1], float64[:, ::1]))
_RULE = types.Tuple((int64, float64, boolean))


@njit(cache=True, nogil=True)
def _agree(one: Any, other: Any, out: Any) -> None:
    """The common code of each pair, or ``MIXED``."""
    for i in range(len(out)):
        out[i] = one[i] if one[i] == other[i] else MIXED


@njit(cache=True, nogil=True)
def _grown(values: Any) -> Any:
    more = np.empty((2, 2 * values.shape[1], values.shape[2]))
    more[:, : values.shape[1]] = values
    return more


@njit(cache=True, nogil=True)
def _activate(scores: Any, activation: int, out: Any) -> None:
    """Activated scores of one grid point in float64, which keeps the order of float32 scores."""
    if activation == SOFTMAX:
        highest = np.float64(scores[0])
        for c in range(1, len(scores)):
            highest = max(highest, np.float64(scores[c]))
        total = 0.0
        for c in range(len(scores)):
            out[c] = np.exp(np.float64(scores[c]) - highest)
            total += out[c]
        for c in range(len(scores)):
            out[c] /= total
    elif activation == SIGMOID:
        for c in range(len(scores)):
            out[c] = 1.0 / (1.0 + np.exp(-np.float64(scores[c])))
    else:
        for c in range(len(scores)):
            out[c] = scores[c]


@njit(cache=True, nogil=True)
def _code(total: Any, threshold: float) -> int:
    """The first of the highest, or one bit for each channel that reaches the threshold."""
    code = 0
    if np.isnan(threshold):
        for c in range(1, len(total)):
            if total[c] > total[code]:
                code = c
    else:
        for c in range(len(total)):
            if total[c] >= threshold:
                code |= 1 << c
    return code


@njit(cache=True, nogil=True)
def _interpolate(scores: Any, at: Any, axes: Any, rule: Any, cache: Any, values: Any, sums: Any) -> Any:
    """Put the activated scores of one voxel into the first row of ``sums``."""
    index, used = cache
    sums[0], sums[1], sums[2] = 0.0, np.inf, -np.inf
    total, is_threshold = 0.0, not np.isnan(rule[1])
    for corner in range(8):
        a, b, c = corner >> 2, corner >> 1 & 1, corner & 1
        weight = axes[0][1][a, at[0]] * axes[1][1][b, at[1]] * axes[2][1][c, at[2]]
        if weight == 0.0:
            continue
        p, q, r = axes[0][0][a, at[0]], axes[1][0][b, at[1]], axes[2][0][c, at[2]]
        slot, place = r & 1, q * scores.shape[1] + p
        if index[slot, place] < 0:
            if used[slot] == values.shape[1]:
                values = _grown(values)
            _activate(scores[:, p, q, r], rule[0], values[slot, used[slot]])
            index[slot, place] = used[slot]
            used[slot] += 1
        at_value = index[slot, place]
        total += weight
        # Written out: a view of each row would cost more than the sum.
        for n in range(len(scores)):
            sums[0, n] += weight * values[slot, at_value, n]
        if is_threshold:
            for n in range(len(scores)):
                sums[1, n] = min(sums[1, n], values[slot, at_value, n])
                sums[2, n] = max(sums[2, n], values[slot, at_value, n])
    if is_threshold and total > WHOLE:
        # Rounding must not lead out of the corners' range, or equal corners would not agree.
        for n in range(len(scores)):
            sums[0, n] = min(max(sums[0, n], sums[1, n]), sums[2, n])
    return values


@njit(cache=True, nogil=True)
def _plane(grid: Any, k: int, axes: Any, rule: Any, table: Any, cache: Any, out: Any) -> Any:
    """Labels of one plane; ``flat`` is what both planes of the grid around it agree on."""
    (x, shares_x), (y, shares_y), (_, shares_z) = axes
    (scores, flat), (index, used, values), (_, threshold, skip) = grid, cache, rule
    row, cell = np.empty(flat.shape[1], flat.dtype), np.empty(flat.shape[1], flat.dtype)
    sums = np.empty((3, len(scores)))
    has_void = not np.isnan(threshold)
    for j in range(y.shape[1]):
        _agree(flat[y[0, j]], flat[y[1, j]], row)
        _agree(row[:-1], row[1:], cell[:-1])
        inside = (shares_y[0, j] + shares_y[1, j]) * (shares_z[0, k] + shares_z[1, k])
        for i in range(x.shape[1]):
            low = x[0, i]
            code = row[low] if low == x[1, i] else cell[low]
            if skip and code != MIXED:
                beside_void = has_void and inside * (shares_x[0, i] + shares_x[1, i]) < WHOLE
                if not beside_void or (code == 0 and threshold > 0):
                    out[j, i] = table[code]
                    continue
            values = _interpolate(scores, (i, j, k), axes, rule, (index, used), values, sums)
            out[j, i] = table[_code(sums[0], threshold)]
    return values


@njit(
    void(_SCORES, int16[:, :, ::1], types.UniTuple(_AXIS, 3), _RULE, uint16[::1], uint16[:, :, ::1]),
    cache=True,
    nogil=True,
)
def decide(scores: Any, codes: Any, axes: Any, rule: Any, table: Any, out: Any) -> None:
    """Fill ``out``, shape (z, y, x), with the label of every voxel.

    Args:
        scores: before the activation, shape (channel, x, y, z) of the grid.
        codes: what is decided at the points of the grid, shape (z, y, x), contiguous.
        axes: of x, y and z, for each index of the scan the grid points below and above, shape (2, n), and the
            weights of the two; where they sum to less than one, the rest is a void that scores zero.
        rule: activation, threshold (NaN for the highest score), and whether to skip where the corners agree.
        table: label per code.
    """
    _, n_y, n_x = codes.shape
    flat = np.empty((n_y, n_x), codes.dtype)
    # Activated scores of the grid points that were needed, of the planes with even and with odd number.
    index, held, used = np.full((2, n_y * n_x), -1, np.int32), np.full(2, -1), np.zeros(2, np.int64)
    values = np.empty((2, 256, len(scores)))
    z = axes[2][0]
    for k in range(z.shape[1]):
        for plane in (z[0, k], z[1, k]):
            if held[plane & 1] != plane:
                held[plane & 1], used[plane & 1] = plane, 0
                index[plane & 1] = -1
        _agree(codes[z[0, k]].ravel(), codes[z[1, k]].ravel(), flat.ravel())
        values = _plane((scores, flat), k, axes, rule, table, (index, used, values), out[k])


@njit(void(_SCORES, int16[:, :, ::1]), cache=True, nogil=True)
def winners(scores: Any, codes: Any) -> None:
    """Fill ``codes`` with the first of the highest scores, shape (channel, …).

    Fastest where the last axis is contiguous.
    """
    n_a, n_b, n_c = codes.shape
    best, code = np.empty(n_c, np.float32), np.empty(n_c, np.int32)
    for a in range(n_a):
        for b in range(n_b):
            best[:] = scores[0, a, b]
            code[:] = 0
            for channel in range(1, len(scores)):
                for c in range(n_c):
                    is_higher = scores[channel, a, b, c] > best[c]
                    best[c] = scores[channel, a, b, c] if is_higher else best[c]
                    code[c] = channel if is_higher else code[c]
            for c in range(n_c):
                codes[a, b, c] = code[c]


@njit(void(float32[:, ::1], int64), cache=True, nogil=True)
def shift_lines(lines: Any, step: int) -> None:
    """Move each line ``step`` places to its beginning, or to its end where negative; zeros come in."""
    n = lines.shape[1]
    for i in range(len(lines)):
        line = lines[i]
        if step >= 0:
            for k in range(n - step):
                line[k] = line[k + step]
            line[n - step :] = 0
        else:
            for k in range(n - 1, -step - 1, -1):
                line[k] = line[k + step]
            line[:-step] = 0
