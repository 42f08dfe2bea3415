"""Scoring files: matching, geometry, cases, tables; composes reading and metrics."""

from medseg.evaluation.inputs import Inputs, Options
from medseg.evaluation.report_json import schema
from medseg.evaluation.run import Evaluation, evaluate

__all__ = ["Evaluation", "Inputs", "Options", "evaluate", "schema"]
