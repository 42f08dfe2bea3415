"""Writes golden_peers.json: what other tools say of the masks in tests/metrics/masks.py.

    python -m venv peers && peers/bin/pip install numpy scipy medpy==0.5.2 panoptica==2.1.7 \
        brats_evaluation==0.0.10 pandas nibabel nnunetv2==2.8.1 surface-distance==0.1
    for repository in Project-MONAI/MetricsReloaded wasserth/TotalSegmentator rachitsaluja/BraTS-2023-Metrics
    do git clone https://github.com/$repository; done  # at 00219d05, 398ff342 and 0c603fcc
    PYTHONPATH=.:MetricsReloaded:TotalSegmentator/resources:BraTS-2023-Metrics \
        peers/bin/python tests/metrics/record_peers.py

MetricsReloaded and BraTS-2023-Metrics are not on PyPI, and TotalSegmentator's package there (2.18.0) has no
evaluation in it: their numbers are from the functions imported below, copied out of those commits beside the
project and run. BraTS-2023-Metrics wants pandas below 2: its `replace` of inf had to name the one column, and
its own copy of surface-distance was the package. medpy is under the GPL and brats_evaluation under the AGPL:
run here once for their numbers, part of nothing.
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
from brats_2023_metrics.surface_distance.brats_metrics import get_lesion_wise_results
from brats_evaluation import evaluation, metrics_parser
from evaluate import calc_metrics
from medpy.metric import binary
from MetricsReloaded.metrics.pairwise_measures import BinaryPairwiseMeasures
from nnunetv2.evaluation.evaluate_predictions import compute_metrics
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from panoptica import (
    ConnectedComponentsInstanceApproximator,
    InputType,
    NaiveThresholdMatching,
    Panoptica_Evaluator,
)
from panoptica.metrics import Metric

from tests.metrics.masks import Labels, pair

# surface-distance 0.1 and TotalSegmentator's script are of the days of NumPy 1.
np.Inf, np.NaN = np.inf, np.nan  # type: ignore[attr-defined]

SPACING = (1.2, 0.7, 3.0)
ISOTROPIC = (1.0, 1.0, 1.0)


def number(of: Callable[[], Any]) -> float | str:
    """What a tool gives, or the name of the error it raises."""
    try:
        return float(of())
    except (IndexError, RuntimeError, ValueError) as error:
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
        "sq_assd": "lesion_assd_mm",
        "rq": "recognition_quality",
        "sq": "segmentation_quality",
        "pq": "panoptic_quality",
    }
    return {ours: float(result[theirs]) for theirs, ours in names.items()}


def metrics_reloaded(p: Labels, r: Labels) -> dict[str, Any]:
    """MetricsReloaded's numbers; it raises for the distances of one empty mask."""
    spacing = SPACING[: p.ndim]
    tool = BinaryPairwiseMeasures(p.astype(int), r.astype(int), pixdim=spacing, dict_args={"nsd": 1})
    names = {
        "dsc": "dice",
        "intersection_over_union": "iou",
        "measured_hausdorff_distance": "hausdorff_mm",
        "measured_hausdorff_distance_perc": "hd95_mm",
        "measured_average_distance": "assd_mm",
        "measured_masd": "masd_mm",
    }
    if p.any() or r.any():
        names |= {"normalised_surface_distance": "nsd_1mm", "boundary_iou": "boundary_iou"}
    found = {ours: number(getattr(tool, theirs)) for theirs, ours in names.items()}
    shares = {"precision": tool.positive_predictive_values(), "recall": tool.recall()}
    # Counted there in float32.
    return found | {name: round(float(value), 6) for name, value in shares.items()}


def _files(p: Labels, r: Labels, folder: str, spacing: tuple[float, ...] = SPACING) -> list[Path]:
    """The masks as NIfTI, `prediction/case.nii.gz` and `reference/case.nii.gz`."""
    paths = [Path(folder, name, "case.nii.gz") for name in ("prediction", "reference")]
    for path, mask in zip(paths, (p, r), strict=True):
        path.parent.mkdir()
        nib.save(nib.Nifti1Image(mask, np.diag([*spacing, 1.0])), path)
    return paths


def nnunet(p: Labels, r: Labels) -> dict[str, Any]:
    """nnU-Net's numbers from files."""
    with tempfile.TemporaryDirectory() as folder:
        prediction, reference = map(str, _files(p, r, folder))
        found = compute_metrics(reference, prediction, SimpleITKIO(), [1])["metrics"][1]
    names = {"Dice": "dice", "IoU": "iou"} | {n: f"{n.lower()}_voxels" for n in ("TP", "FP", "FN", "TN")}
    return {ours: float(found[theirs]) for theirs, ours in names.items()}


def totalsegmentator(p: Labels, r: Labels) -> dict[str, Any]:
    """TotalSegmentator's numbers from files."""
    with tempfile.TemporaryDirectory() as folder:
        prediction, reference = _files(p, r, folder)
        found = calc_metrics("case", reference.parent, prediction.parent, {1: "it"})
    return {"dice": float(found["dice-it"]), "nsd_3mm": float(found["surface_dice_3-it"])}


def brats_2023(p: Labels, r: Labels, task: str) -> dict[str, Any]:
    """The row of BraTS-2023-Metrics for the enhancing tumour."""
    with tempfile.TemporaryDirectory() as folder:
        paths = _files(3 * p, 3 * r, folder, ISOTROPIC)
        row = get_lesion_wise_results(*map(str, paths), task).set_index("Labels").loc["ET"]
    names = {
        "Legacy_Dice": "dice",
        "Legacy_HD95": "hd95_mm",
        "Sensitivity": "recall",
        "Lesion_Wise_Score_Dice": "lesion_dice",
        "Lesion_Wise_Score_HD95": "lesion_hd95_mm",
        **{f"Num_{n.upper()}": f"lesion_{n}" for n in ("tp", "fp", "fn")},
    }
    return {ours: float(row[theirs]) for theirs, ours in names.items()}


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
    spacing = ISOTROPIC if preset.startswith("brats") else SPACING[: 2 if masks == "flat" else 3]
    return {"preset": preset, "masks": masks, "seed": seed, "spacing": spacing, "expected": told}


def main() -> None:
    """Write the file beside this one."""
    found = []
    for seed in range(2):
        p, r = pair("blobs", seed)
        found.append(entry("medpy", "blobs", seed, medpy(p, r)))
        found.append(entry("panoptica", "blobs", seed, panoptica_regions(p, r)))
    for masks in ("blobs", "flat", "slice", "missed", "false_alarm", "both_empty"):
        found.append(entry("metrics_reloaded", masks, 0, metrics_reloaded(*pair(masks, 0))))
    for masks in ("blobs", "missed", "false_alarm", "both_empty"):
        p, r = pair(masks, 0)
        found.append(entry("nnunet", masks, 0, nnunet(p, r)))
        found.append(entry("totalsegmentator", masks, 0, totalsegmentator(p, r)))
        found.append(entry("brats2023", masks, 0, brats_2023(p, r, "BraTS-GLI")))
        if masks != "blobs":
            found.append(entry("panoptica", masks, 0, panoptica_lesions(p, r)))
    for seed in range(3):
        p, r = pair("lesions", seed)
        found.append(entry("panoptica", "lesions", seed, panoptica_lesions(p, r)))
        for preset, task in (("", "GLI"), ("_men", "MEN"), ("_met", "MET")):
            found.append(entry(f"brats2023{preset}", "lesions", seed, brats_2023(p, r, f"BraTS-{task}")))
        found.append(entry("brats2026", "lesions", seed, brats_2026(p, r, "gli")))
        found.append(entry("brats2026_mets", "lesions", seed, brats_2026(p, r, "mets")))
    Path(__file__).with_name("golden_peers.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
