"""The report page with pictures: reads the worst cases' files again and hands arrays to the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from medseg.data.manifest import read_manifest
from medseg.evaluation.pictures import pictures
from medseg.report import Human, Scores, read_document, read_scores, scores_of, write_page

WORST = 3
"""Cases per structure that a report shows."""


def write_report(
    out_dir: Path, *, worst: int = WORST, title: str = "", synthetic: bool | None = None
) -> Path:
    """The path of ``report.html`` with the worst cases of each structure, where their files are still there.

    Args:
        out_dir: the folder that ``medseg evaluate -o`` wrote.
        worst: cases per structure; 0 for a page without pictures.
        title: of the page; the data set's name or the folder of the predictions where empty.
        synthetic: whether the data are not of people; where None, whatever the manifest said.

    Raises:
        DataError: ``report.json`` is missing, damaged or of another format.
        OutputError: the page cannot be written.
    """
    document = read_document(out_dir)
    scores = _with_people(scores_of(document, title=title, synthetic=synthetic), document, out_dir)
    return write_page(scores, out_dir, pictures(document, scores, out_dir, worst))


def read_table(out_dir: Path) -> Scores:
    """The table of an evaluation with the inter-rater figures of its manifest, where it still lies there.

    Raises:
        DataError: ``report.json`` is missing, damaged or of another format.
        ManifestError: the manifest is no longer one.
    """
    return _with_people(read_scores(out_dir), read_document(out_dir), out_dir)


def _with_people(scores: Scores, document: Mapping[str, Any], out_dir: Path) -> Scores:
    described = document["inputs"]["manifest"]
    path = out_dir / described["path"] if described else None
    if path is None or not path.is_file():
        return scores
    figures = read_manifest(path).inter_rater
    people = [
        Human(str(f["structure"]), str(f["metric"]), float(f["value"]), str(f["source"])) for f in figures
    ]
    return replace(scores, human=tuple(people))
