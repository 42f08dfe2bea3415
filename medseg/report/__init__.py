"""The report: statistics, figures and one offline page from the files of an evaluation."""

from medseg.report.html import report_page, write_page, write_report
from medseg.report.pictures import Card, Pictures, card, worst_cases
from medseg.report.reading import read_document, read_scores, scores_of
from medseg.report.scores import Case, File, Lesion, Method, Metric, Scores
from medseg.report.slices import Scan
from medseg.report.vocabulary import STATUS
from medseg.report.volumes import Volume, volume

__all__ = [
    "STATUS",
    "Card",
    "Case",
    "File",
    "Lesion",
    "Method",
    "Metric",
    "Pictures",
    "Scan",
    "Scores",
    "Volume",
    "card",
    "read_document",
    "read_scores",
    "report_page",
    "scores_of",
    "volume",
    "worst_cases",
    "write_page",
    "write_report",
]
