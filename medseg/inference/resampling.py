"""Compiled interpolation of one plane between two of a scan's, along all three axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, float64, int64, njit, types, void

_PLANE = float32[:, ::1]
_AXIS = types.Tuple((int64[::1], int64[::1], float64[::1]))


@njit(cache=True, nogil=True)
def _between(below: Any, above: Any, share: float, out: Any) -> None:
    if share == 0.0:
        for i in range(len(out)):
            out[i] = below[i]
    else:
        for i in range(len(out)):
            out[i] = below[i] * (1 - share) + above[i] * share


@njit(void(_PLANE, _PLANE, float64, _AXIS, _AXIS, _PLANE), cache=True, nogil=True)
def resampled(below: Any, above: Any, share: float, y: Any, x: Any, out: Any) -> None:
    """Fill ``out``, float32, with the plane that lies ``share`` of the way from ``below`` to ``above``.

    Computed in float64, as MONAI does.

    Args:
        below, above: planes of the scan, shape (y, x).
        y, x: for each index of ``out`` the points before and after it, and the share of the one after.
    """
    n_rows, n_columns = below.shape
    # Rows of the scan between the two planes, each made once, when it is needed.
    row, known = np.empty((n_rows, n_columns)), np.zeros(n_rows, np.bool_)
    line = np.empty(n_columns)
    for j in range(len(y[0])):
        low, high, part = y[0][j], y[1][j], y[2][j]
        for at in (low, high):
            if not known[at]:
                known[at] = True
                _between(below[at], above[at], share, row[at])
        if part == 0.0:
            line[:] = row[low]
        else:
            for i in range(n_columns):
                line[i] = row[low, i] * (1 - part) + row[high, i] * part
        for i in range(len(x[0])):
            part = x[2][i]
            if part == 0.0:
                out[j, i] = line[x[0][i]]
            else:
                out[j, i] = line[x[0][i]] * (1 - part) + line[x[1][i]] * part
