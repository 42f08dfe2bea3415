"""The table of all cases: a row per case and structure, failures first, as JSON for the page's own script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from medseg.report.page import number
from medseg.report.scores import FAILURES, Metric, Scores
from medseg.report.vocabulary import STATUS, decimals, short_title

FIRST_ROWS = 50
"""Rows that stand in the page itself, for readers without scripts."""

Cell = int | float | str | None


@dataclass(frozen=True)
class Column:
    """A heading of the table; numeric columns are aligned to the right."""

    title: str
    numeric: bool


@dataclass(frozen=True)
class CaseTable:
    """The table's first rows as text, how many are left, and all of it as JSON-like data."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    n_left: int
    data: dict[str, object]


def case_table(scores: Scores, metrics: Sequence[Metric]) -> CaseTable:
    """The table with these metrics as columns; a case that failed as a whole has a row per structure."""
    shown = [(metric, decimals(metric)) for metric in metrics]
    rows = _rows(scores, metrics)
    words = {
        **STATUS,
        **{case.status: case.status.replace("error:", "error: ") for case in scores.cases},
    } | STATUS
    columns: list[dict[str, object]] = [
        {"title": "Case"},
        {"title": "Structure", "names": list(scores.structures)},
        {"title": "Status", "words": words},
    ]
    columns += [
        {"title": _title(metric), "numeric": True, "digits": digits, "metric": metric.name}
        for metric, digits in shown
    ]
    data = {
        "cases": [case.name for case in scores.cases],
        "patients": [case.patient for case in scores.cases],
        "structures": list(scores.structures),
        "failures": list(FAILURES),
        "columns": columns,
        "rows": rows,
    }
    first = tuple(_text(scores, row, [digits for _, digits in shown], words) for row in rows[:FIRST_ROWS])
    heads = tuple(Column(str(column["title"]), bool(column.get("numeric"))) for column in columns)
    return CaseTable(heads, first, max(0, len(rows) - FIRST_ROWS), data)


def _rows(scores: Scores, metrics: Sequence[Metric]) -> list[list[Cell]]:
    """Number of the case, number of the structure, status, values; failures first."""
    columns = [
        [scores.column(structure, metric.name) for metric in metrics] for structure in scores.structures
    ]
    rows: list[list[Cell]] = []
    for case_number, case in enumerate(scores.cases):
        for structure_number, structure in enumerate(scores.structures):
            status = scores.statuses[structure][case_number] or case.status
            values = [_cell(float(column[case_number])) for column in columns[structure_number]]
            rows.append([case_number, structure_number, status, *values])
    order = {status: place for place, status in enumerate(FAILURES)}
    return sorted(
        rows, key=lambda row: -1 if str(row[2]).startswith("error") else order.get(str(row[2]), len(order))
    )


def _cell(value: float) -> Cell:
    """JSON has no infinity: ``inf`` as a word, and null where undefined. Six digits are enough to sort by."""
    if math.isnan(value):
        return None
    return str(value) if math.isinf(value) else float(f"{value:.6g}")


def _text(scores: Scores, row: list[Cell], digits: Sequence[int], words: dict[str, str]) -> tuple[str, ...]:
    case, structure, status, *values = row
    cells = [number(math.nan if v is None else float(v), d) for v, d in zip(values, digits, strict=True)]
    return (
        scores.cases[int(case or 0)].name,
        scores.structures[int(structure or 0)],
        words[str(status)],
        *cells,
    )


def _title(metric: Metric) -> str:
    return f"{short_title(metric)}, {metric.unit}" if metric.unit else short_title(metric)
