"""Outlines of a mask along the edges of its pixels, exact to the last one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vertex = tuple[int, int]


def loops(mask: NDArray[np.bool_]) -> list[list[Vertex]]:
    """Closed walks over pixel corners (row, column) with the mask on the right hand; holes are loops too.

    Points at which a walk goes straight on are left out. Corner (0, 0) is the outer one of the first pixel.

    >>> loops(np.ones((2, 3), bool))
    [[(0, 0), (0, 3), (2, 3), (2, 0)]]
    """
    return [_corners(walk) for walk in _walks(mask)]


def _walks(mask: NDArray[np.bool_]) -> list[list[Vertex]]:
    """Closed walks over pixel corners with the mask on the right hand."""
    ways = _edges(mask)
    loops = []
    while ways:
        start = next(iter(ways))
        at, loop = start, [start]
        while True:
            following = ways[at].pop()
            if not ways[at]:
                del ways[at]
            if following == start:
                break
            loop.append(following)
            at = following
        loops.append(loop)
    return loops


def _edges(mask: NDArray[np.bool_]) -> dict[Vertex, list[Vertex]]:
    """From each corner of a pixel where to go along an edge between inside and outside."""
    padded = np.pad(mask, 1).astype(np.int8)
    ways: dict[Vertex, list[Vertex]] = {}

    def add(start: Vertex, end: Vertex) -> None:
        ways.setdefault(start, []).append(end)

    down = np.diff(padded, axis=0)[:, 1:-1]
    for row, column in np.argwhere(down == 1).tolist():
        add((row, column), (row, column + 1))
    for row, column in np.argwhere(down == -1).tolist():
        add((row, column + 1), (row, column))
    right = np.diff(padded, axis=1)[1:-1]
    for row, column in np.argwhere(right == 1).tolist():
        add((row + 1, column), (row, column))
    for row, column in np.argwhere(right == -1).tolist():
        add((row, column), (row + 1, column))
    return ways


def _corners(loop: list[Vertex]) -> list[Vertex]:
    """The loop without the points at which it goes straight on."""
    around = [(loop[i - 1], loop[i], loop[(i + 1) % len(loop)]) for i in range(len(loop))]
    return [b for a, b, c in around if (b[0] - a[0], b[1] - a[1]) != (c[0] - b[0], c[1] - b[1])]
