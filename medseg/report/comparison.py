"""Two or more evaluations of the same cases, set side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from medseg.errors import MedsegError
from medseg.report import ranking
from medseg.report.paired import Comparison, compare_pairs, holm
from medseg.report.scores import Metric, Scores
from medseg.report.statistics import Floats
from medseg.report.vocabulary import leading


@dataclass(frozen=True)
class System:
    """An evaluation with the name it has on the page."""

    name: str
    scores: Scores


@dataclass(frozen=True)
class PairRow:
    """System B against A on one metric of one structure; ``p_holm`` is adjusted over all rows of the page."""

    a: str
    b: str
    structure: str
    metric: Metric
    result: Comparison
    p_holm: float

    @property
    def verdict(self) -> str:
        """In words which is better, at 5 % after Holm's correction."""
        if math.isnan(self.p_holm):
            return "not tested"
        if self.p_holm >= 0.05:
            return "no difference shown"
        return f"{self.b if self.result.rank_biserial > 0 else self.a} better"


@dataclass(frozen=True)
class RankRow:
    """All systems on one metric of one structure, over the cases that all of them have."""

    structure: str
    metric: Metric
    n: int
    friedman: ranking.Friedman
    p_holm: float
    by_rank: ranking.Stability
    by_mean: ranking.Stability


@dataclass(frozen=True)
class Contest:
    """What a comparison found.

    Attributes:
        cases: names that all systems have, in the order of the first.
        n_left_out: per system, its cases that another one lacks or could not score.
        columns: (system number, structure, metric) to a value per case; a missing prediction is the worst.
        pairs: every two systems; ``ranks`` empty for two systems.
        notes: what a reader must know before believing.
    """

    systems: tuple[System, ...]
    structures: tuple[str, ...]
    metrics: tuple[Metric, ...]
    cases: tuple[str, ...]
    patients: tuple[str, ...]
    n_left_out: tuple[int, ...]
    columns: dict[tuple[int, str, str], Floats]
    pairs: tuple[PairRow, ...]
    ranks: tuple[RankRow, ...]
    notes: tuple[str, ...]


def compare(systems: Sequence[System]) -> Contest:
    """The comparison of two or more systems on the cases, structures and metrics that all of them have.

    Raises:
        MedsegError: fewer than two systems, two of one name, other definitions, or nothing shared.
    """
    _check(systems)
    first = systems[0].scores
    names = [{c.name for c in s.scores.cases if not c.has_error} for s in systems]
    cases = [c for c in first.cases if all(c.name in known for known in names)]
    structures = tuple(n for n in first.structures if all(n in s.scores.structures for s in systems))
    if not cases or not structures:
        raise MedsegError(
            f"{len(cases)} common cases and {len(structures)} common structures",
            "evaluations of the same cases and structures",
            "compare the cases.csv of the folders",
        )
    metrics = _metrics(systems, structures)
    at = [_rows(s.scores, [c.name for c in cases]) for s in systems]
    columns = {
        (i, name, m.name): _column(s.scores, name, m, at[i])
        for i, s in enumerate(systems)
        for name in structures
        for m in metrics
    }
    patients = tuple(c.patient or f"case {c.name}" for c in cases)
    contest = Contest(
        systems=tuple(systems),
        structures=structures,
        metrics=metrics,
        cases=tuple(c.name for c in cases),
        patients=patients,
        n_left_out=tuple(len(s.scores.cases) - len(cases) for s in systems),
        columns=columns,
        pairs=(),
        ranks=(),
        notes=tuple(_notes(systems, [c.name for c in cases], patients)),
    )
    pairs, ranks = _pairs(contest), _ranks(contest) if len(systems) > 2 else []
    return replace(contest, pairs=tuple(pairs), ranks=tuple(ranks))


def _pairs(contest: Contest) -> list[PairRow]:
    rows = []
    for i, j in combinations(range(len(contest.systems)), 2):
        for name in contest.structures:
            for metric in contest.metrics:
                a, b = (contest.columns[k, name, metric.name] for k in (i, j))
                if metric.better:
                    result = compare_pairs(a, b, higher_is_better=metric.better == "higher")
                    names = contest.systems[i].name, contest.systems[j].name
                    rows.append(PairRow(*names, name, metric, result, math.nan))
    adjusted = holm([row.result.p_value for row in rows])
    return [replace(row, p_holm=p) for row, p in zip(rows, adjusted, strict=True)]


def _ranks(contest: Contest) -> list[RankRow]:
    rows = []
    for name in contest.structures:
        for metric in contest.metrics:
            table = np.stack(
                [contest.columns[i, name, metric.name] for i in range(len(contest.systems))], axis=1
            )
            known = np.asarray(~np.isnan(table).any(axis=1))
            goodness = (table if metric.better == "higher" else -table)[known]
            if not metric.better or len(goodness) < 2:
                continue
            patients = [p for p, k in zip(contest.patients, known, strict=True) if k]
            by_rank = ranking.rank_stability(goodness, patients)
            by_mean = ranking.rank_stability(goodness, patients, by_mean=True)
            found = ranking.friedman(goodness)
            rows.append(RankRow(name, metric, len(goodness), found, math.nan, by_rank, by_mean))
    adjusted = holm([row.friedman.p_value for row in rows])
    return [replace(row, p_holm=p) for row, p in zip(rows, adjusted, strict=True)]


def _column(scores: Scores, structure: str, metric: Metric, at: list[int]) -> Floats:
    """One value per common case; a missing prediction is the worst where there was something to find."""
    values = scores.column(structure, metric.name)[at].copy()
    if not metric.better:
        return values
    volume = scores.column(structure, "volume_reference_ml")[at]
    missing = np.array([scores.statuses[structure][row] == "missing_prediction" for row in at], dtype=bool)
    values[missing & (volume > 0)] = 0.0 if metric.better == "higher" else np.inf
    return values


def _rows(scores: Scores, names: Sequence[str]) -> list[int]:
    number = {case.name: row for row, case in enumerate(scores.cases)}
    return [number[name] for name in names]


def _metrics(systems: Sequence[System], structures: tuple[str, ...]) -> tuple[Metric, ...]:
    shared = [m for m in systems[0].scores.metrics if all(_has(s.scores, m, structures) for s in systems)]
    present = [{m.name for m in shared}] * len(structures)
    return tuple(m for m in leading(shared, present) if m.better)


def _has(scores: Scores, metric: Metric, structures: tuple[str, ...]) -> bool:
    return any((name, metric.name) in scores.values for name in structures)


def _check(systems: Sequence[System]) -> None:
    names = [s.name for s in systems]
    if len(systems) < 2 or len(set(names)) < len(names):
        raise MedsegError(
            f"the systems {', '.join(names)}", "two or more with different names", "name each folder once"
        )
    for other in systems[1:]:
        for what in ("definition", "tolerances_mm"):
            mine, theirs = getattr(systems[0].scores.method, what), getattr(other.scores.method, what)
            if mine != theirs:
                raise MedsegError(
                    f"{names[0]} was measured with {what} {mine} and {other.name} with {theirs}",
                    "one definition and one set of tolerances",
                    "evaluate both with the same --preset and --tolerance",
                )


def _notes(systems: Sequence[System], cases: Sequence[str], patients: Sequence[str]) -> list[str]:
    found = []
    if (differing := _other_references(systems, cases)) > 0:
        found.append(f"The reference files of {differing} cases differ between the systems (by SHA-256).")
    if len(set(patients)) < len(patients):
        found.append(
            f"{len(cases)} cases come from {len(set(patients))} patients. The signed-rank tests take cases "
            "as independent, so their p-values are too small; rank stability draws whole patients."
        )
    if len(set(patients)) < 20:
        found.append("Fewer than 20 patients: a difference that is not shown may well be there.")
    return found


def _other_references(systems: Sequence[System], cases: Sequence[str]) -> int:
    hashes = [
        {case.name: {f.sha256 for f in case.files if f.role == "reference"} for case in s.scores.cases}
        for s in systems
    ]
    return sum(len({frozenset(known[name]) for known in hashes}) > 1 for name in cases)
