"""The report: statistics, figures and one offline page from the files of an evaluation."""

from medseg.report.html import report_page, write_report
from medseg.report.reading import read_scores
from medseg.report.scores import Case, File, Lesion, Method, Metric, Scores

__all__ = [
    "Case",
    "File",
    "Lesion",
    "Method",
    "Metric",
    "Scores",
    "read_scores",
    "report_page",
    "write_report",
]
