"""The report page with pictures: reads the worst cases' files again and hands arrays to the report."""

from __future__ import annotations

from pathlib import Path

from medseg.evaluation.pictures import pictures
from medseg.report import read_document, scores_of, write_page

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
    scores = scores_of(document, title=title, synthetic=synthetic)
    return write_page(scores, out_dir, pictures(document, scores, out_dir, worst))
