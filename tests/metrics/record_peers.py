"""Writes golden_peers.json: what other tools say of the masks in tests/metrics/masks.py.

    python -m venv peers && peers/bin/pip install numpy scipy medpy==0.5.2 panoptica==2.1.7 \
        brats_evaluation==0.0.10 pandas nibabel
    PYTHONPATH=. peers/bin/python tests/metrics/record_peers.py

medpy is under the GPL and brats_evaluation under the AGPL: run here once for their numbers, part of nothing.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from brats_evaluation import evaluation, metrics_parser
from medpy.metric import binary
from panoptica import (
    ConnectedComponentsInstanceApproximator,
    InputType,
    NaiveThresholdMatching,
    Panoptica_Evaluator,
)
from panoptica.metrics import Metric

from tests.metrics.masks import Labels, blobs, lesions

SPACING = (1.2, 0.7, 3.0)
ISOTROPIC = (1.0, 1.0, 1.0)


def number(of: Callable[[], Any]) -> float | str:
    """What a tool gives, or the name of the error it raises."""
    try:
        return float(of())
    except (RuntimeError, ValueError) as error:
        return type(error).__name__


def medpy(p: Labels, r: Labels) -> dict[str, Any]:
    """medpy's numbers under our names."""
    return {
        "dice": number(lambda: binary.dc(p, r)),
        "iou": number(lambda: binary.jc(p, r)),
        "hausdorff_mm": number(lambda: binary.hd(p, r, SPACING)),
        "hd95_mm": number(lambda: binary.hd95(p, r, SPACING)),
        "assd_mm": number(lambda: binary.assd(p, r, SPACING)),
        "asd_prediction_to_reference_mm": number(lambda: binary.asd(p, r, SPACING)),
    }


def panoptica_regions(p: Labels, r: Labels) -> dict[str, Any]:
    """panoptica's metric functions on two masks."""
    names = {"DSC": "dice", "IOU": "iou", "HD": "hausdorff_mm", "HD95": "hd95_mm", "ASSD": "assd_mm"}
    found = {
        ours: float(getattr(Metric, theirs)(r, p, voxelspacing=SPACING)) for theirs, ours in names.items()
    }
    return found | {"nsd_0.7mm": float(Metric.NSD(r, p, voxelspacing=SPACING))}


def panoptica_lesions(p: Labels, r: Labels) -> dict[str, Any]:
    """panoptica's evaluator as it comes."""
    tool = Panoptica_Evaluator(
        expected_input=InputType.SEMANTIC,
        instance_approximator=ConnectedComponentsInstanceApproximator(),
        instance_matcher=NaiveThresholdMatching(),
    )
    result = next(iter(tool.evaluate(p, r, voxelspacing=SPACING).values())).to_dict()
    names = {
        "tp": "lesion_tp",
        "fp": "lesion_fp",
        "fn": "lesion_fn",
        "sq_dsc": "lesion_dice",
        "rq": "recognition_quality",
        "sq": "segmentation_quality",
        "pq": "panoptic_quality",
    }
    return {ours: float(result[theirs]) for theirs, ours in names.items()}


def brats_2026(p: Labels, r: Labels, task: str) -> dict[str, Any]:
    """The row of brats_evaluation for the enhancing tumour."""
    import pandas as pd

    config = files("brats_evaluation").joinpath("configs/config_gli.yaml")
    tool = Panoptica_Evaluator.load_from_config(str(config))
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{name}.nii.gz" for name in ("prediction", "reference")]
        for path, mask in zip(paths, (p, r), strict=True):
            nib.save(nib.Nifti1Image(3 * mask, np.eye(4)), path)
        found = evaluation.evaluate_single_exam(*paths, "case", tool)
        source, table = Path(folder, "found.json"), Path(folder, "table.csv")
        source.write_text(json.dumps({"metrics": [found], "missings": []}, default=lambda v: v.item()))
        if task == "mets":
            metrics_parser.parse_mets_results(str(source), 20.0, 0.1, str(table))
        else:
            metrics_parser.parse_seg_results(str(source), str(table))
        row = pd.read_csv(table).iloc[0]
    which = "large" if task == "mets" else "all"
    names = {
        "global_dsc": "dice",
        "global_hd95": "hd95_mm",
        "global_nsd": "nsd_0.5mm",
        **{f"{which}_instance_{n}": f"lesion_{n}" for n in ("tp", "fp", "fn", "f1")},
        "lesionwise_dsc_mean": "lesion_dice",
        "lesionwise_hd95_mean": "lesion_hd95_mm",
        "lesionwise_nsd_mean": "lesion_nsd",
    }
    return {ours: float(row[f"{theirs}_et"]) for theirs, ours in names.items()}


def entry(preset: str, masks: str, seed: int, found: dict[str, Any]) -> dict[str, Any]:
    """One record; nan and inf as JSON strings."""
    told = {k: v if isinstance(v, str) or math.isfinite(v) else str(v) for k, v in found.items()}
    spacing = ISOTROPIC if preset.startswith("brats") else SPACING
    return {"preset": preset, "masks": masks, "seed": seed, "spacing": spacing, "expected": told}


def main() -> None:
    """Write the file beside this one."""
    found = []
    for seed in range(2):
        p, r = blobs((18, 16, 14), seed), blobs((18, 16, 14), seed + 9)
        found.append(entry("medpy", "blobs", seed, medpy(p, r)))
        found.append(entry("panoptica", "blobs", seed, panoptica_regions(p, r)))
    for seed in range(3):
        p, r = lesions(seed)
        found.append(entry("panoptica", "lesions", seed, panoptica_lesions(p, r)))
        found.append(entry("brats2026", "lesions", seed, brats_2026(p, r, "gli")))
        found.append(entry("brats2026_mets", "lesions", seed, brats_2026(p, r, "mets")))
    Path(__file__).with_name("golden_peers.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
