"""Every case as a dot: where the dots, axes and lines of a figure lie, in the units of its view box.

Only geometry is made here; ``templates/figures.svg.j2`` draws it. A figure's dots are one path per row and a
list of the cases they stand for, which keeps a page of ten thousand dots small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.report.axes import Axis, nice_axis, true_minus, volume_axis
from medseg.report.dots import DOT, Dots, split, swarm
from medseg.report.statistics import Floats, Summary


@dataclass(frozen=True)
class Row:
    """One structure of a strip plot; ``box`` is first quartile, median, third; ``human`` may be NaN."""

    structure: str
    middle: float
    dots: tuple[Dots, ...]
    n_infinite: int
    mean: float
    interval: tuple[float, float]
    box: tuple[float, float, float]
    human: float


@dataclass(frozen=True)
class Strip:
    """One metric of all structures, a row each; infinite values lie in a lane of their own from ``lane``."""

    width: float
    height: float
    axis: Axis
    rows: tuple[Row, ...]
    lane: float


@dataclass(frozen=True)
class Line:
    """A level line of a scatter plot with its name."""

    at: float
    text: str


@dataclass(frozen=True)
class Scatter:
    """Two values of each case against each other."""

    width: float
    height: float
    x: Axis
    y: Axis
    dots: tuple[Dots, ...]
    lines: tuple[Line, ...] = ()


def strip(
    names: Sequence[str],
    columns: Sequence[Floats],
    failed: Sequence[NDArray[np.bool_]],
    summaries: Sequence[Summary],
    human: Sequence[float],
) -> Strip:
    """A strip plot of one metric.

    Args:
        names: of the structures.
        columns: for each structure one value per case; NaN is left out, an infinity goes to the lane.
        failed: for each structure whether the case failed.
        summaries: of the finite values, for the marks.
        human: for each structure how well people agree, NaN where nobody says.
    """
    width, left, right, step = 640.0, 12.0, 628.0, 76.0
    has_lane = any(np.isinf(column).any() for column in columns)
    lane = right - 62 if has_lane else right + 1
    axis = nice_axis(
        [*columns, np.asarray(human, float)], left + DOT, (lane - 14) if has_lane else right - DOT
    )
    rows = []
    for index, (name, column, bad, summary) in enumerate(zip(names, columns, failed, summaries, strict=True)):
        middle = 62 + step * index
        marks = np.array(
            [summary.mean, *_ends(summary), summary.q1, summary.median, summary.q3, human[index]]
        )
        mean, low, high, q1, median, q3, people = (float(v) for v in axis.place(marks))
        x = np.where(np.isinf(column), lane + 31, axis.place(np.nan_to_num(column, posinf=0, neginf=0)))
        y = middle + swarm(np.where(np.isnan(column), np.nan, x), 18)
        dots = split(x, y, ~np.isnan(column), bad)
        rows.append(
            Row(name, middle, dots, int(np.isinf(column).sum()), mean, (low, high), (q1, median, q3), people)
        )
    return Strip(width, 32 + step * len(names), axis, tuple(rows), lane if has_lane else 0.0)


def dice_by_volume(dice: Floats, volume_ml: Floats, failed: NDArray[np.bool_]) -> Scatter:
    """Dice of each case against its reference volume; a wide range of volumes gets a logarithmic axis."""
    shown = np.isfinite(dice) & np.isfinite(volume_ml) & (volume_ml > 0)
    x = volume_axis(volume_ml[shown], 44, 310)
    y = nice_axis([dice[shown]], 190, 14)
    return Scatter(320, 226, x, y, split(x.place(volume_ml), y.place(dice), shown, failed))


def bland_altman(reference_ml: Floats, prediction_ml: Floats, failed: NDArray[np.bool_]) -> Scatter:
    """The difference of two volumes against their mean, with the bias and the 95 % limits of agreement.

    Source: Bland and Altman, Lancet 1986;327:307-310. The limits are the bias ± 1.96 standard deviations.
    """
    shown = np.isfinite(reference_ml) & np.isfinite(prediction_ml)
    mean, difference = (reference_ml + prediction_ml) / 2, prediction_ml - reference_ml
    known = difference[shown]
    bias = float(known.mean()) if known.size else math.nan
    reach = 1.96 * float(known.std(ddof=1)) if known.size > 1 else math.nan
    levels = np.array([bias - reach, bias, bias + reach])
    x = nice_axis([mean[shown]], 52, 310)
    y = nice_axis([known, levels[np.isfinite(levels)], np.zeros(1)], 190, 14)
    names = ("−1.96 SD", "bias", "+1.96 SD")
    texts = [true_minus(f"{v:+.2f}") for v in levels]
    lines = [
        Line(float(y.place(np.array([v]))[0]), f"{name} {text} ml")
        for v, name, text in zip(levels, names, texts, strict=True)
        if np.isfinite(v)
    ]
    return Scatter(320, 226, x, y, split(x.place(mean), y.place(difference), shown, failed), tuple(lines))


def _ends(summary: Summary) -> tuple[float, float]:
    interval = summary.mean_interval
    return (interval.low, interval.high) if math.isfinite(interval.low) else (summary.mean, summary.mean)
