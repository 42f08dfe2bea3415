"""The figures of a comparison: paired dots and the critical-difference picture, in view-box units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medseg.report.axes import Axis, Tick, nice_axis
from medseg.report.dots import Dots, split
from medseg.report.statistics import Floats


@dataclass(frozen=True)
class Paired:
    """Two systems' scores of each case; above the diagonal the second has the larger score."""

    size: float
    x: Axis
    y: Axis
    dots: tuple[Dots, ...]
    human: tuple[float, float]


def paired(a: Floats, b: Floats, human: float = math.nan) -> Paired:
    """The scores of B (up) against A (across) on one scale; infinities lie on the far edge as crosses.

    ``human`` is how well people agree, NaN where nobody says.
    """
    shown = ~(np.isnan(a) | np.isnan(b))
    infinite = np.isinf(a) | np.isinf(b)
    both = np.concatenate([a[shown], b[shown], [human]])
    x, y = nice_axis([both], 44, 296), nice_axis([both], 266, 14)
    edge = 8.0
    people = float(x.place(np.array([human]))[0]), float(y.place(np.array([human]))[0])
    across = np.where(np.isinf(a), x.end + edge, x.place(np.nan_to_num(a, posinf=0, neginf=0)))
    up = np.where(np.isinf(b), y.end - edge, y.place(np.nan_to_num(b, posinf=0, neginf=0)))
    return Paired(310, x, y, split(across, up, shown, infinite), people)


@dataclass(frozen=True)
class RankMark:
    """A system on a rank axis: its place, the height of its name and which side the name stands on."""

    at: float
    y: float
    text: str
    is_left: bool


@dataclass(frozen=True)
class RankLine:
    """The critical-difference picture: mean ranks, and bars over systems that are not told apart."""

    height: float
    ticks: tuple[Tick, ...]
    marks: tuple[RankMark, ...]
    bars: tuple[tuple[float, float, float], ...]
    ruler: tuple[float, float]


def critical_difference(mean_ranks: Floats, difference: float, names: Sequence[str]) -> RankLine:
    """Demšar's picture: better systems left, a bar over each group nearer than the critical difference."""
    k = len(names)
    start, end = 150.0, 490.0

    def place(rank: float) -> float:
        return start + (rank - 1) / (k - 1) * (end - start)

    order = np.argsort(mean_ranks, kind="stable")
    groups: list[tuple[int, int]] = []
    for first in range(k):
        last = max(i for i in range(k) if mean_ranks[order[i]] - mean_ranks[order[first]] <= difference)
        if last > first and not any(a <= first and last <= b for a, b in groups):
            groups.append((first, last))
    bars = tuple(
        (place(mean_ranks[order[a]]) - 4, place(mean_ranks[order[b]]) + 4, 52.0 + 8 * level)
        for level, (a, b) in enumerate(groups)
    )
    below = 68 + 8 * len(groups)
    half = (k + 1) // 2
    marks = tuple(
        RankMark(
            place(float(mean_ranks[system])),
            below + 18 * (number if number < half else k - 1 - number),
            f"{names[system]} {mean_ranks[system]:.2f}",
            number < half,
        )
        for number, system in enumerate(order)
    )
    ticks = tuple(Tick(place(rank), str(rank)) for rank in range(1, k + 1))
    return RankLine(
        below + 18 * half + 4, ticks, marks, bars, (start, start + difference / (k - 1) * (end - start))
    )
