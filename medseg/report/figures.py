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

from medseg.report.statistics import Floats, Summary

DOT = 5.0
"""Diameter of a dot."""


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class Axis:
    """A scale from values to positions along one direction."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[Tick, ...]
    is_log: bool = False

    def place(self, values: Floats) -> Floats:
        """Positions of values; a value beyond an end is put on it."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.is_log else (self.low, self.high)
        scaled = np.log10(np.maximum(values, self.low)) if self.is_log else values
        share = np.clip((scaled - low) / (high - low), 0, 1)
        return np.asarray(self.start + share * (self.end - self.start))


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
    texts = [_minus(f"{v:+.2f}") for v in levels]
    lines = [
        Line(float(y.place(np.array([v]))[0]), f"{name} {text} ml")
        for v, name, text in zip(levels, names, texts, strict=True)
        if np.isfinite(v)
    ]
    return Scatter(320, 226, x, y, split(x.place(mean), y.place(difference), shown, failed), tuple(lines))


def nice_axis(columns: Sequence[Floats], start: float, end: float, n_ticks: int = 5) -> Axis:
    """An axis over all finite values whose ends and ticks are round numbers."""
    values = np.concatenate([np.asarray(column, float).ravel() for column in columns] or [np.zeros(1)])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - max(abs(low), 1.0) * 0.05, high + max(abs(high), 1.0) * 0.05
    step = _round_step((high - low) / n_ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = next(d for d in range(20) if abs(round(step, d) - step) < 1e-6 * step)
    low, high = first * step, last * step
    scale = (end - start) / (high - low)
    marks = [step * number for number in range(first, last + 1)]
    ticks = tuple(Tick(start + (mark - low) * scale, _minus(f"{mark:.{digits}f}")) for mark in marks)
    return Axis(low, high, start, end, ticks)


def volume_axis(values: Floats, start: float, end: float) -> Axis:
    """A round axis for positive values, logarithmic where the largest is more than 30 times the smallest."""
    if values.size == 0 or values.max() < 30 * values.min():
        return nice_axis([values], start, end)
    first, last = math.floor(math.log10(values.min())), math.ceil(math.log10(values.max()))
    step = max(1, math.ceil((last - first) / 5))
    last = first + step * math.ceil((last - first) / step)
    scale = (end - start) / (last - first)
    powers = range(first, last + 1, step)
    ticks = tuple(Tick(start + (power - first) * scale, f"{10.0**power:g}") for power in powers)
    return Axis(10.0**first, 10.0**last, start, end, ticks, is_log=True)


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


def _ends(summary: Summary) -> tuple[float, float]:
    interval = summary.mean_interval
    return (interval.low, interval.high) if math.isfinite(interval.low) else (summary.mean, summary.mean)


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(m for m in (1.0, 2.0, 2.5, 5.0, 10.0) if step <= m * power * (1 + 1e-9)) * power


def _minus(text: str) -> str:
    """A number with a true minus sign, and no sign on zero."""
    return text.replace("-", "−") if float(text) else text.lstrip("-+")
