"""From cases to structures: how many, how good where it can be said, and how good with every miss counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, isnan, nan

import numpy as np

from medseg.evaluation.cases import CaseResult
from medseg.metrics import metric

OVERALL = "all"
"""The structure's name under which scores over all structures stand."""


@dataclass(frozen=True)
class SummaryRow:
    """One metric of one structure over all cases.

    Attributes:
        structure: its name, or ``all``.
        metric: the column's name.
        unit: of every number below that is not a count.
        n: cases, without those that failed.
        n_finite: cases whose value is finite; `mean` to `maximum` are over these.
        n_both_empty: cases in which neither file has the structure.
        n_missed: cases in which only the reference has it.
        n_false_alarm: cases in which only the prediction has it.
        n_missing_prediction: cases without a prediction.
        n_error: cases that could not be scored; they are in no mean.
        mean: over finite values.
        sd: sample standard deviation of finite values.
        median: of finite values.
        q1: first quartile.
        q3: third quartile.
        minimum: of finite values.
        maximum: of finite values.
        penalised_mean: mean in which each miss, false alarm and missing prediction counts as the worst.
        n_penalised: cases in `penalised_mean`.
    """

    structure: str
    metric: str
    unit: str
    n: int
    n_finite: int
    n_both_empty: int
    n_missed: int
    n_false_alarm: int
    n_missing_prediction: int
    n_error: int
    mean: float
    sd: float
    median: float
    q1: float
    q3: float
    minimum: float
    maximum: float
    penalised_mean: float
    n_penalised: int


def summarise(results: Sequence[CaseResult]) -> list[SummaryRow]:
    """One row per structure and metric, structures in the order of the cases' scores."""
    scores = [r.score for r in results if r.score is not None]
    n_error = sum(r.is_error for r in results)
    if not scores:
        return []
    rows = []
    for i, first in enumerate(scores[0].structures):
        of_structure = [s.structures[i] for s in scores]
        statuses = [s.status for s in of_structure]
        for name in first_names([list(s.metrics) for s in of_structure]):
            values = [s.metrics.get(name, nan) for s in of_structure]
            punished = [s.penalised.get(name, nan) for s in of_structure]
            rows.append(_row((first.name, name), values, punished, statuses, n_error))
    statuses = ["ok" if r.status == "ok" else r.status for r in results if r.score is not None]
    for name in scores[0].overall:
        values = [s.overall[name] for s in scores]
        rows.append(_row((OVERALL, name), values, values, statuses, n_error))
    return rows


def first_names(lists: Sequence[Sequence[str]]) -> list[str]:
    """Every name once, in order of first sight."""
    return list(dict.fromkeys(name for names in lists for name in names))


def unit_of(name: str) -> str:
    """The unit of a metric; scores over all structures have none."""
    return "" if name == "miou" else metric(name).unit


def _row(
    key: tuple[str, str],
    values: Sequence[float],
    punished: Sequence[float],
    statuses: Sequence[str],
    n_error: int,
) -> SummaryRow:
    finite = np.asarray([v for v in values if isfinite(v)])
    counted = [v for v in punished if not isnan(v)]
    quartiles = np.percentile(finite, [0, 25, 50, 75, 100]) if len(finite) else np.full(5, nan)
    return SummaryRow(
        structure=key[0],
        metric=key[1],
        unit=unit_of(key[1]),
        n=len(values),
        n_finite=len(finite),
        n_both_empty=statuses.count("both_empty"),
        n_missed=statuses.count("missed"),
        n_false_alarm=statuses.count("false_alarm"),
        n_missing_prediction=statuses.count("missing_prediction"),
        n_error=n_error,
        mean=float(finite.mean()) if len(finite) else nan,
        sd=float(finite.std(ddof=1)) if len(finite) > 1 else nan,
        median=float(quartiles[2]),
        q1=float(quartiles[1]),
        q3=float(quartiles[3]),
        minimum=float(quartiles[0]),
        maximum=float(quartiles[4]),
        penalised_mean=float(np.mean(counted)) if counted else nan,
        n_penalised=len(counted),
    )
