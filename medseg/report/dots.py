"""Cases as dots, set side by side where they would hide each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.report.statistics import Floats

DOT = 5.0
"""Diameter of a dot."""


@dataclass(frozen=True)
class Dots:
    """Cases as dots.

    Attributes:
        path: one zero-length stroke per dot, in the order of ``cases``.
        cases: numbers of the cases.
        is_failed: drawn as crosses, because the structure was missed, invented or never predicted.
    """

    path: str
    cases: tuple[int, ...]
    is_failed: bool = False


def swarm(x: Floats, reach: float) -> Floats:
    """Offsets that set dots of about the same position side by side, at most ``reach`` from the middle."""
    offsets = np.zeros(x.size)
    known = np.flatnonzero(~np.isnan(x))
    columns = np.round(x[known] / DOT).astype(int)
    for column in np.unique(columns):
        members = known[columns == column]
        members = members[np.argsort(x[members], kind="stable")]
        side = np.where(np.arange(members.size) % 2 == 0, 1, -1)
        away = np.ceil(np.arange(members.size) / 2) * side
        gap = min(DOT, 2 * reach / max(1, members.size - 1))
        offsets[members] = away * gap
    return offsets


def split(x: Floats, y: Floats, shown: NDArray[np.bool_], failed: NDArray[np.bool_]) -> tuple[Dots, ...]:
    """The shown cases as dots, those that failed apart from the others."""
    groups = ((shown & ~failed, False), (shown & failed, True))
    return tuple(_dots(x, y, np.flatnonzero(chosen), bad) for chosen, bad in groups if chosen.any())


def _dots(x: Floats, y: Floats, cases: NDArray[np.int64], is_failed: bool) -> Dots:
    mark = "m-3-3l6 6m0-6l-6 6" if is_failed else "h0"
    path = "".join(f"M{x[case]:.1f} {y[case]:.1f}{mark}" for case in cases)
    return Dots(path, tuple(int(case) for case in cases), is_failed)
