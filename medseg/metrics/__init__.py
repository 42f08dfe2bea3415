"""Exact metrics on label maps, in millimetres and millilitres, with the definition named."""

from medseg.metrics.catalogue import METRICS, Metric, metric
from medseg.metrics.definitions import MEDSEG_1, PRESETS, Definition, definition
from medseg.metrics.scores import CaseScore, StructureScore
from medseg.metrics.scoring import score, score_channels

__all__ = [
    "MEDSEG_1",
    "METRICS",
    "PRESETS",
    "CaseScore",
    "Definition",
    "Metric",
    "StructureScore",
    "definition",
    "metric",
    "score",
    "score_channels",
]
