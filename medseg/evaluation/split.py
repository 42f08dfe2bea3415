"""Scoring a split of a manifest with plain values, as a bundle's ``evaluate.yaml`` names it."""

from __future__ import annotations

from pathlib import Path

from medseg.evaluation.inputs import Inputs
from medseg.evaluation.page import write_report
from medseg.evaluation.protocol import Options
from medseg.evaluation.run import Evaluation, evaluate


def score_split(
    predictions: str,
    manifest: str,
    dataset_dir: str,
    split: str,
    output_dir: str,
    overwrite: bool = False,
    preset: str = "medseg",
) -> Evaluation:
    """What `evaluate` gives for the cases of one split, from written files against untouched references.

    Args:
        predictions: folder of the written label maps.
        manifest: path of the manifest that names structures, patients and splits.
        dataset_dir: the folder that the manifest's paths start from.
        split: ``training``, ``validation`` or ``test``.
        output_dir: folder for the tables and the report.
        overwrite: replace an earlier evaluation.
        preset: the definition of every number, as ``medseg evaluate --preset`` has them.
    """
    inputs = Inputs(Path(predictions), manifest=Path(manifest), data=Path(dataset_dir), split=split)
    scores = evaluate(inputs, Path(output_dir), options=Options(preset=preset), overwrite=overwrite)
    write_report(Path(output_dir))
    return scores
