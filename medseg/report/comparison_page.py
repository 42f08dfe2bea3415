"""``comparison.html`` and ``comparison.csv``: paired dots, tests, ranks and the cases that changed most."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from medseg.report.comparison import Contest, RankRow
from medseg.report.contest_figures import critical_difference, paired
from medseg.report.html import save_page
from medseg.report.overview import heading
from medseg.report.page import asset, number, render
from medseg.report.scores import Human
from medseg.report.vocabulary import decimals

MOST_CHANGED = 8


def write_comparison(contest: Contest, out_dir: Path) -> Path:
    """The path of ``comparison.html``, written with ``comparison.csv`` beside it.

    Raises:
        OutputError: a file cannot be written.
    """
    save_page(_csv(contest), out_dir / "comparison.csv")
    return save_page(comparison_page(contest), out_dir / "comparison.html")


def comparison_page(contest: Contest) -> str:
    """The page as HTML."""
    names = [system.name for system in contest.systems]
    return render(
        "comparison.html.j2",
        f"{' against '.join(names)} – medseg comparison",
        scripts=[asset("dots.js")],
        data={"dot-data": {"cases": list(contest.cases)}},
        contest=contest,
        synthetic=any(system.scores.method.synthetic for system in contest.systems),
        definition=contest.systems[0].scores.method.definition,
        pairs=[
            {"row": row, "metric": heading(row.metric), "digits": decimals(row.metric)}
            for row in contest.pairs
        ],
        plots=_plots(contest),
        ranks=[_rank_view(contest, row) for row in contest.ranks],
        changed=_changed(contest),
    )


def _plots(contest: Contest) -> list[dict[str, Any]]:
    found = []
    for i, j in combinations(range(len(contest.systems)), 2):
        for metric in contest.metrics:
            for name in contest.structures:
                a, b = (contest.columns[k, name, metric.name] for k in (i, j))
                texts = [
                    f"{case}: {number(x, decimals(metric))} and {number(y, decimals(metric))}"
                    for case, x, y in zip(contest.cases, a, b, strict=True)
                ]
                names = (contest.systems[i].name, contest.systems[j].name)
                label = (
                    f"{heading(metric).short} of {name}: {names[0]} across, {names[1]} up; every case a dot."
                )
                figure = paired(a, b, contest.systems[0].scores.human_value(name, metric.name))
                found.append(
                    {"metric": heading(metric), "structure": name, "names": names, "figure": figure}
                    | {"label": label, "texts": texts, "human": _people(contest, name, metric.name)}
                )
    return found


def _people(contest: Contest, structure: str, metric: str) -> list[Human]:
    known = contest.systems[0].scores.human
    return [h for h in known if (h.structure, h.metric) == (structure, metric)]


def _changed(contest: Contest) -> list[dict[str, Any]]:
    """Per pair of systems the cases whose first metric moved most, infinite moves first."""
    metric, digits = contest.metrics[0], decimals(contest.metrics[0])
    found = []
    for i, j in combinations(range(len(contest.systems)), 2):
        rows = []
        for name in contest.structures:
            a, b = (contest.columns[k, name, metric.name] for k in (i, j))
            with np.errstate(invalid="ignore"):
                change = b - a
            for case, x, y, d in zip(contest.cases, a, b, change, strict=True):
                if not math.isnan(d) and d != 0:
                    rows.append((abs(d), case, name, number(x, digits), number(y, digits), number(d, digits)))
        rows.sort(key=lambda row: -row[0])
        names = (contest.systems[i].name, contest.systems[j].name)
        found.append({"names": names, "metric": heading(metric), "rows": rows[:MOST_CHANGED]})
    return found


def _rank_view(contest: Contest, row: RankRow) -> dict[str, Any]:
    names = [system.name for system in contest.systems]
    picture = critical_difference(row.friedman.mean_ranks, row.friedman.critical_difference, names)
    told = ", ".join(f"{n} {r:.2f}" for n, r in zip(names, row.friedman.mean_ranks, strict=True))
    label = f"Mean ranks: {told}; critical difference {row.friedman.critical_difference:.2f}."
    means = [float(np.mean(_known(contest, row, i))) for i in range(len(names))]
    return {
        "row": row,
        "metric": heading(row.metric),
        "picture": picture,
        "label": label,
        "names": names,
        "means": means,
    }


def _known(contest: Contest, row: RankRow, system: int) -> Any:
    table = np.stack(
        [contest.columns[i, row.structure, row.metric.name] for i in range(len(contest.systems))], axis=1
    )
    return table[~np.isnan(table).any(axis=1), system]


def _csv(contest: Contest) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    fields = list(asdict(contest.pairs[0].result)) if contest.pairs else []
    writer.writerow(["a", "b", "structure", "metric", *fields, "p_holm", "verdict"])
    for row in contest.pairs:
        values = asdict(row.result).values()
        writer.writerow([row.a, row.b, row.structure, row.metric.name, *values, row.p_holm, row.verdict])
    return text.getvalue()
