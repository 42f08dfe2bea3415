"""The tables of an evaluation: tidy, wide, Parquet and summary."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from math import nan
from pathlib import Path
from typing import Any

from medseg.evaluation.cases import CaseResult
from medseg.evaluation.summary import OVERALL, SummaryRow, first_names

TIDY = ("case", "structure", "metric", "value", "status", "flags")


def tidy_rows(results: Sequence[CaseResult]) -> Iterator[tuple[str, str, str, float, str, str]]:
    """Case, structure, metric, value, status and flags (``;`` between); one row for a case that failed."""
    for result in results:
        case, flags = result.reference.case, ";".join(result.flags)
        if result.score is None:
            yield case, "", "", nan, result.status, flags
            continue
        for structure in result.score.structures:
            for name, value in structure.metrics.items():
                yield case, structure.name, name, value, structure.status, flags
        for name, value in result.score.overall.items():
            yield case, OVERALL, name, value, result.status, flags


def write_cases(results: Sequence[CaseResult], folder: Path) -> None:
    """``cases.csv`` and ``cases.parquet``: one row per case, structure and metric."""
    rows = list(tidy_rows(results))
    _write_csv(folder / "cases.csv", TIDY, rows)
    import pyarrow
    from pyarrow import parquet

    columns = list(zip(*rows, strict=True)) if rows else [()] * len(TIDY)
    kinds = [pyarrow.float64() if name == "value" else pyarrow.string() for name in TIDY]
    arrays = [pyarrow.array(c, kind) for c, kind in zip(columns, kinds, strict=True)]
    parquet.write_table(pyarrow.table(arrays, names=list(TIDY)), folder / "cases.parquet")


def write_wide(results: Sequence[CaseResult], folder: Path) -> None:
    """``cases_wide.csv``: one row per case and structure, one column per metric."""
    scored = [(r, s) for r in results if r.score for s in r.score.structures]
    names = first_names([list(s.metrics) for _, s in scored])
    rows: list[Sequence[Any]] = []
    for result in results:
        start = (result.reference.case, result.reference.patient)
        flags = ";".join(result.flags)
        if result.score is None:
            rows.append((*start, "", result.status, flags, result.message, *[""] * len(names)))
            continue
        for s in result.score.structures:
            rows.append((*start, s.name, s.status, flags, "", *(s.metrics.get(n, "") for n in names)))
    _write_csv(
        folder / "cases_wide.csv",
        ("case", "patient", "structure", "status", "flags", "message", *names),
        rows,
    )


def write_summary(rows: Sequence[SummaryRow], folder: Path) -> None:
    """``summary.csv``: one row per structure and metric."""
    names = [f.name for f in fields(SummaryRow)]
    _write_csv(folder / "summary.csv", names, [list(asdict(row).values()) for row in rows])


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
