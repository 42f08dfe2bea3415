"""Scoring files: matching, geometry, cases, tables; composes reading and metrics."""

from medseg.evaluation.inputs import Inputs
from medseg.evaluation.protocol import Options
from medseg.evaluation.report_json import schema
from medseg.evaluation.run import Evaluation, evaluate
from medseg.evaluation.split import score_split

__all__ = ["Evaluation", "Inputs", "Options", "evaluate", "schema", "score_split"]
