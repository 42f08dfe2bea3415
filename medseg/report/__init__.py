"""The report: statistics, figures and one offline page from the files of an evaluation."""

from medseg.report.comparison import Contest, System
from medseg.report.comparison import compare as compare_systems
from medseg.report.comparison_page import write_comparison
from medseg.report.html import report_page, write_page, write_report
from medseg.report.pictures import Card, Pictures, card, worst_cases
from medseg.report.reading import read_document, read_scores, scores_of
from medseg.report.scores import Case, File, Human, Lesion, Method, Metric, Scores
from medseg.report.slices import Scan
from medseg.report.vocabulary import STATUS
from medseg.report.volumes import Volume, volume

__all__ = [
    "STATUS",
    "Card",
    "Case",
    "Contest",
    "File",
    "Human",
    "Lesion",
    "Method",
    "Metric",
    "Pictures",
    "Scan",
    "Scores",
    "System",
    "Volume",
    "card",
    "compare_systems",
    "read_document",
    "read_scores",
    "report_page",
    "scores_of",
    "volume",
    "worst_cases",
    "write_comparison",
    "write_page",
    "write_report",
]
