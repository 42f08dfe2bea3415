"""``report.html``: the one page of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.errors import OutputError
from medseg.report import figures
from medseg.report.lesions import lesion_rows
from medseg.report.overview import Group, groups, heading, overview
from medseg.report.page import asset, niivue, number, render
from medseg.report.pictures import Pictures
from medseg.report.reading import read_scores
from medseg.report.scores import FAILURES, Metric, Scores
from medseg.report.table import case_table
from medseg.report.vocabulary import STATUS, leading
from medseg.report.volumes import viewer_data

PAGE_NAME = "report.html"


def write_report(out_dir: Path, *, title: str = "", synthetic: bool | None = None) -> Path:
    """The path of ``report.html``, written beside the files of an evaluation; an earlier page is replaced.

    Args:
        out_dir: the folder that ``medseg evaluate -o`` wrote, with its ``report.json``.
        title: of the page; the data set's name or the folder of the predictions where empty.
        synthetic: whether the data are not of people; where None, whatever the manifest said.

    Raises:
        DataError: ``report.json`` is missing, damaged or of another format.
        OutputError: the page cannot be written.
    """
    scores = read_scores(out_dir, title=title, synthetic=synthetic)
    return write_page(scores, out_dir)


def write_page(scores: Scores, out_dir: Path, pictures: Pictures | None = None) -> Path:
    """The path of ``report.html``, written from a table and the pictures of its worst cases.

    Raises:
        OutputError: the page cannot be written.
    """
    return save_page(report_page(scores, pictures), out_dir / PAGE_NAME)


def save_page(text: str, path: Path) -> Path:
    """The path of a page, written.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror}", "a folder to write in", "choose another"
        ) from error
    return path


def report_page(scores: Scores, pictures: Pictures | None = None) -> str:
    """The page as HTML; the viewer and its volumes are in it where there are pictures with volumes."""
    worst = pictures or Pictures()
    scripts, data = [asset("report.js")], {}
    if worst.volumes:
        scripts += [niivue(), asset("viewer.js")]
        data["viewer-data"] = viewer_data(worst.volumes, scores.structures)
    present = [{m for s, m in scores.values if s == structure} for structure in scores.structures]
    chosen = leading(scores.metrics, present)
    rest = [metric for metric in scores.metrics if metric not in chosen]
    leading_rows = groups(scores, chosen)
    table = case_table(scores, [*chosen, *(m for m in rest if m.name == "volume_reference_ml")])
    return render(
        "report.html.j2",
        f"{scores.title} – medseg report",
        scripts=scripts,
        data={"table-data": table.data, **data},
        scores=scores,
        overview=overview(scores),
        leading=[heading(metric) for metric in chosen],
        leading_rows=leading_rows,
        other_rows=groups(scores, rest) if rest else [],
        strips=_strips(scores, chosen, leading_rows),
        scatters=_scatters(scores),
        blands=_blands(scores),
        pictures=worst.cards,
        picture_notes=worst.notes,
        volumes=worst.volumes,
        orientation=worst.orientation,
        lesion_rows=lesion_rows(scores.lesions),
        statuses=[(key, text) for key, text in STATUS.items() if key and key != "scored"],
        table=table,
    )


def _failed(scores: Scores, structure: str) -> NDArray[np.bool_]:
    return np.array([status in FAILURES for status in scores.statuses[structure]], dtype=bool)


def _strips(scores: Scores, metrics: Sequence[Metric], rows: Sequence[Group]) -> list[dict[str, Any]]:
    known = {(group.structure, row.metric.name): row.summary for group in rows for row in group.rows}
    plots = []
    for metric in metrics:
        names = [s for s in scores.structures if (s, metric.name) in scores.values]
        columns = [scores.column(name, metric.name) for name in names]
        failed = [_failed(scores, name) for name in names]
        summaries = [known[name, metric.name] for name in names]
        told = ", ".join(f"{n}: median {number(s.median, 2)}" for n, s in zip(names, summaries, strict=True))
        label = (
            f"{metric.title} of every case, a row per structure. {told}. The table of cases has the values."
        )
        numbers = [scores.structures.index(name) for name in names]
        people = [scores.human_value(name, metric.name) for name in names]
        plots.append(
            {
                "metric": heading(metric),
                "figure": figures.strip(names, columns, failed, summaries, people),
                "label": label,
                "numbers": numbers,
                "human": [human for human in scores.human if human.metric == metric.name],
            }
        )
    return plots


def _scatters(scores: Scores) -> list[dict[str, Any]]:
    found = []
    for index, name in enumerate(scores.structures):
        if {(name, "dice"), (name, "volume_reference_ml")} <= scores.values.keys():
            dice, volume = scores.column(name, "dice"), scores.column(name, "volume_reference_ml")
            figure = figures.dice_by_volume(dice, volume, _failed(scores, name))
            label = f"Dice against reference volume in ml, {name}, every case a dot."
            found.append({"structure": name, "index": index, "figure": figure, "label": label})
    return found


def _blands(scores: Scores) -> list[dict[str, Any]]:
    found = []
    for index, name in enumerate(scores.structures):
        if {(name, "volume_reference_ml"), (name, "volume_prediction_ml")} <= scores.values.keys():
            reference = scores.column(name, "volume_reference_ml")
            prediction = scores.column(name, "volume_prediction_ml")
            figure = figures.bland_altman(reference, prediction, _failed(scores, name))
            told = "; ".join(line.text for line in figure.lines)
            label = f"Bland-Altman plot of the volume of {name} in ml: {told}."
            found.append({"structure": name, "index": index, "figure": figure, "label": label})
    return found
