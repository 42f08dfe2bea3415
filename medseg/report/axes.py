"""Scales from values to positions whose ends and ticks are round numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medseg.report.statistics import Floats


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
    ticks = tuple(Tick(start + (mark - low) * scale, true_minus(f"{mark:.{digits}f}")) for mark in marks)
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


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(m for m in (1.0, 2.0, 2.5, 5.0, 10.0) if step <= m * power * (1 + 1e-9)) * power


def true_minus(text: str) -> str:
    """A number with a true minus sign, and no sign on zero."""
    return text.replace("-", "−") if float(text) else text.lstrip("-+")
