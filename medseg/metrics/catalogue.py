"""Every metric that medseg reports: its name, its unit, which way is better and what a miss costs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "count",
    "overlap",
    "volume",
    "hausdorff",
    "percentile",
    "mean_distance",
    "centre",
    "surface_overlap",
    "lesion",
]


@dataclass(frozen=True)
class Metric:
    """One column of a report.

    Attributes:
        name: as in ``cases.csv``.
        title: for a reader.
        unit: ``mm``, ``ml``, ``voxels`` or empty.
        better: ``higher``, ``lower``, or empty where neither is.
        worst: what a miss counts as in a penalised mean: ``zero``, ``diagonal`` (of the image, in mm) or
            empty where a miss is not punished.
        kind: which rule for empty masks it follows.
    """

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower", ""]
    worst: Literal["zero", "diagonal", ""]
    kind: Kind


def _overlap(name: str, title: str) -> Metric:
    return Metric(name, title, "", "higher", "zero", "overlap")


def _distance(name: str, title: str, kind: Kind) -> Metric:
    return Metric(name, title, "mm", "lower", "diagonal", kind)


_METRICS = (
    Metric("tp_voxels", "True positive voxels", "voxels", "", "", "count"),
    Metric("fp_voxels", "False positive voxels", "voxels", "", "", "count"),
    Metric("fn_voxels", "False negative voxels", "voxels", "", "", "count"),
    Metric("tn_voxels", "True negative voxels", "voxels", "", "", "count"),
    _overlap("dice", "Dice"),
    _overlap("iou", "IoU"),
    _overlap("precision", "Precision"),
    _overlap("recall", "Recall"),
    Metric("specificity", "Specificity", "", "higher", "", "overlap"),
    Metric("pixel_accuracy", "Pixel accuracy", "", "higher", "", "overlap"),
    _overlap("kappa", "Cohen's kappa"),
    _overlap("thresholded_jaccard", "Thresholded Jaccard (0.65)"),
    Metric("volume_reference_ml", "Reference volume", "ml", "", "", "volume"),
    Metric("volume_prediction_ml", "Predicted volume", "ml", "", "", "volume"),
    Metric("volume_difference_ml", "Volume difference, signed", "ml", "", "", "volume"),
    Metric("volume_absolute_difference_ml", "Volume difference, absolute", "ml", "lower", "", "volume"),
    Metric("volume_relative_difference", "Volume difference over reference", "", "", "", "volume"),
    _distance("hausdorff_mm", "Hausdorff distance", "hausdorff"),
    _distance("assd_mm", "Average symmetric surface distance", "mean_distance"),
    _distance("masd_mm", "Mean of the two average surface distances", "mean_distance"),
    _distance("asd_prediction_to_reference_mm", "Average distance, prediction to reference", "mean_distance"),
    _distance("asd_reference_to_prediction_mm", "Average distance, reference to prediction", "mean_distance"),
    Metric("boundary_iou", "Boundary IoU", "", "higher", "zero", "surface_overlap"),
    _distance("centre_distance_mm", "Distance of the centres of mass", "centre"),
    Metric("lesion_dice", "Lesion-wise Dice", "", "higher", "zero", "lesion"),
    Metric("lesion_hd95_mm", "Lesion-wise HD95", "mm", "lower", "diagonal", "lesion"),
    Metric("lesion_assd_mm", "Lesion-wise ASSD", "mm", "lower", "diagonal", "lesion"),
    Metric("lesion_nsd", "Lesion-wise NSD", "", "higher", "zero", "lesion"),
    Metric("lesion_n_reference", "Lesions in the reference", "lesions", "", "", "lesion"),
    Metric("lesion_n_prediction", "Lesions in the prediction", "lesions", "", "", "lesion"),
    Metric("lesion_tp", "Lesions found", "lesions", "", "", "lesion"),
    Metric("lesion_fp", "Lesions invented", "lesions", "", "", "lesion"),
    Metric("lesion_fn", "Lesions missed", "lesions", "", "", "lesion"),
    Metric("lesion_f1", "Lesion detection F1", "", "higher", "zero", "lesion"),
    Metric("lesion_precision", "Lesion detection precision", "", "higher", "zero", "lesion"),
    Metric("lesion_recall", "Lesion detection recall", "", "higher", "zero", "lesion"),
    Metric("panoptic_quality", "Panoptic quality (PQ)", "", "higher", "zero", "lesion"),
    Metric("segmentation_quality", "Segmentation quality (SQ)", "", "higher", "zero", "lesion"),
    Metric("recognition_quality", "Recognition quality (RQ)", "", "higher", "zero", "lesion"),
)
METRICS = {m.name: m for m in _METRICS}
_NSD = re.compile(r"(nsd|nsd_surfel|boundary_f1)_([0-9.e+-]+)mm")
_PERCENTILE = re.compile(r"hd([0-9.]+)_mm")
_FAMILIES = {
    "nsd": "Normalised surface Dice",
    "nsd_surfel": "Normalised surface Dice by surface elements",
    "boundary_f1": "Boundary F1",
}


def metric(name: str) -> Metric:
    """What a column's name means; families such as ``nsd_2mm`` and ``hd95_mm`` are understood.

    Raises:
        KeyError: nobody knows this name.
    """
    if name in METRICS:
        return METRICS[name]
    if found := _NSD.fullmatch(name):
        title = f"{_FAMILIES[found[1]]} at {found[2]} mm"
        return Metric(name, title, "", "higher", "zero", "surface_overlap")
    if found := _PERCENTILE.fullmatch(name):
        return _distance(name, f"HD{found[1]}", "percentile")
    raise KeyError(name)


def at_tolerance(family: str, tolerance_mm: float) -> str:
    """The column's name of a metric at a tolerance: ``nsd_2mm``."""
    return f"{family}_{tolerance_mm:g}mm"
