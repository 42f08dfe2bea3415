"""What stands on the first screen: the summary of every structure and metric, and the failures before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medseg.report.scores import FAILURES, Metric, Scores
from medseg.report.statistics import SMALL_SAMPLE, Summary, summarise
from medseg.report.vocabulary import STATUS, decimals, reading, short_title


@dataclass(frozen=True)
class Heading:
    """A metric as a page names it."""

    name: str
    short: str
    unit: str
    better: str
    reading: str


@dataclass(frozen=True)
class Line:
    """One metric of one structure in the summary table."""

    metric: Heading
    digits: int
    summary: Summary
    n_infinite: int
    penalised: float


@dataclass(frozen=True)
class Group:
    """All lines of one structure and how often it was missed or invented."""

    structure: str
    n_missed: int
    n_false_alarm: int
    rows: tuple[Line, ...]


@dataclass(frozen=True)
class Failure:
    """A case, and in words what is wrong with it."""

    case: str
    text: str


@dataclass(frozen=True)
class Overview:
    """The facts above the table.

    Attributes:
        tolerances: in words, ``liver 5 mm; tumour 2 mm``.
        counts: (what, how often) of each way to fail, zeros too.
        is_small: True where intervals of means are too narrow.
    """

    n_scored: int
    n_patients: int
    n_files: int
    digest: str
    tolerances: str
    counts: tuple[tuple[str, int], ...]
    failures: tuple[Failure, ...]
    is_small: bool


def heading(metric: Metric) -> Heading:
    """The metric as a page names it."""
    return Heading(metric.name, short_title(metric), metric.unit, metric.better, reading(metric))


def groups(scores: Scores, metrics: Sequence[Metric]) -> list[Group]:
    """The summary table: structures with those of the metrics that they have."""
    found = []
    for structure in scores.structures:
        lines = [_line(scores, structure, m) for m in metrics if (structure, m.name) in scores.values]
        missed = scores.count(structure, "missed") + scores.count(structure, "missing_prediction")
        found.append(Group(structure, missed, scores.count(structure, "false_alarm"), tuple(lines)))
    return found


def overview(scores: Scores) -> Overview:
    """The facts above the table, failures as errors, missing files, missed, false alarms."""
    scored = [case for case in scores.cases if case.status == "scored"]
    n_patients = len({case.patient or case.name for case in scored})
    statuses = [status for structure in scores.structures for status in scores.statuses[structure]]
    counts = (
        ("cases not scored because of an error", sum(case.has_error for case in scores.cases)),
        ("prediction files missing", sum(case.status == "missing_prediction" for case in scores.cases)),
        ("structures missed", statuses.count("missed")),
        ("false alarms", statuses.count("false_alarm")),
    )
    return Overview(
        n_scored=len(scored),
        n_patients=n_patients,
        n_files=sum(len(case.files) for case in scores.cases),
        digest=scores.digest(),
        tolerances=_tolerances(scores),
        counts=counts,
        failures=tuple(_failures(scores)),
        is_small=n_patients < SMALL_SAMPLE,
    )


def _line(scores: Scores, structure: str, metric: Metric) -> Line:
    column = scores.column(structure, metric.name)
    finite = np.isfinite(column)
    patients = [patient for patient, known in zip(scores.patients(), finite, strict=True) if known]
    return Line(
        metric=heading(metric),
        digits=decimals(metric),
        summary=summarise(column[finite], patients),
        n_infinite=int(np.isinf(column).sum()),
        penalised=scores.penalised.get((structure, metric.name), float("nan")),
    )


def _failures(scores: Scores) -> list[Failure]:
    found = [Failure(case.name, case.message or case.status) for case in scores.cases if case.has_error]
    absent = [case for case in scores.cases if case.status == "missing_prediction"]
    found += [Failure(case.name, case.message or STATUS["missing_prediction"]) for case in absent]
    for status in FAILURES[1:]:
        for structure in scores.structures:
            for case, seen in zip(scores.cases, scores.statuses[structure], strict=True):
                if seen == status:
                    found.append(Failure(case.name, f"{structure}: {STATUS[status]}"))
    return found


def _tolerances(scores: Scores) -> str:
    """Tolerances in words; structures that share theirs are not repeated."""
    by_value: dict[tuple[float, ...], list[str]] = {}
    for structure, values in scores.method.tolerances_mm.items():
        if values:
            by_value.setdefault(tuple(values), []).append(structure)
    words = {values: ", ".join(f"{value:g}" for value in values) + " mm" for values in by_value}
    if len(by_value) == 1:
        return next(iter(words.values()))
    return "; ".join(f"{', '.join(names)}: {words[values]}" for values, names in by_value.items())
