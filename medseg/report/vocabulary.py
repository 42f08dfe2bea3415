"""The words of a report: what each metric and each status means to somebody who reads images, not code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from medseg.report.scores import Metric

STATUS = {
    "ok": "scored",
    "scored": "scored",
    "both_empty": "correctly absent",
    "missed": "missed",
    "false_alarm": "false alarm",
    "missing_prediction": "no prediction file",
    "": "not scored",
}

READING = {
    "dice": "How much of the two outlines overlaps: 0 is no overlap, 1 is the same outline. One wrong voxel "
    "costs a small structure more than a large one.",
    "iou": "Overlap divided by the area covered by either outline; always lower than Dice.",
    "precision": "The share of the prediction that lies in the reference.",
    "recall": "The share of the reference that the prediction covers.",
    "hausdorff_mm": "The largest distance from one outline to the other. One stray voxel decides it.",
    "hd95_mm": "The distance that 95 % of the outline stays within. 0 is perfect; large values mean a part "
    "was missed or invented.",
    "assd_mm": "The mean distance between the two outlines. 0 is perfect.",
    "masd_mm": "The mean of the mean distances each way. 0 is perfect.",
    "nsd": "The share of the two outlines that lies within the tolerance of the other: 1 means every "
    "point is near enough.",
    "boundary_f1": "Precision and recall of the outline within the tolerance, in one number.",
    "volume_difference_ml": "Predicted volume minus reference volume: above 0 too large, below 0 too small.",
    "lesion_dice": "Dice of each lesion, averaged; a missed or invented lesion counts as 0.",
    "lesion_hd95_mm": "HD95 of each lesion, averaged; a missed or invented one counts as a fixed distance.",
    "lesion_f1": "How well lesions were found, whatever their outline: 1 means all found and none invented.",
    "panoptic_quality": "How well lesions were found, times how well the found ones were outlined.",
}

_SHORT = {
    "assd_mm": "ASSD",
    "masd_mm": "MASD",
    "hausdorff_mm": "Hausdorff",
    "volume_difference_ml": "Volume difference",
    "volume_reference_ml": "Reference volume",
    "lesion_dice": "Lesion-wise Dice",
    "lesion_f1": "Lesion F1",
    "panoptic_quality": "PQ",
}
_FAMILY = {"nsd": "NSD", "nsd_surfel": "NSD by surface", "boundary_f1": "Boundary F1"}


def short_title(metric: Metric) -> str:
    """A heading that fits a column."""
    if metric.name in _SHORT:
        return _SHORT[metric.name]
    family, _, tolerance = metric.name.rpartition("_")
    if family in _FAMILY:
        return f"{_FAMILY[family]} {tolerance.removesuffix('mm')} mm"
    return metric.title


def reading(metric: Metric) -> str:
    """How to read a metric, in a sentence or two; empty where there is nothing to add to its title."""
    return READING.get(metric.name) or READING.get(metric.name.rpartition("_")[0], "")


def leading(metrics: Sequence[Metric], by_structure: Iterable[set[str]]) -> list[Metric]:
    """The few metrics that a report opens with: overlap, distance, surface, volume, lesions.

    Args:
        metrics: all of them, in the order of the files.
        by_structure: for each structure, the names of the metrics that it has (tolerances may differ).
    """
    named = {metric.name: metric for metric in metrics}
    wanted = ["dice", "hd95_mm", *_tolerances(list(named), by_structure), "assd_mm", "volume_difference_ml"]
    wanted += ["lesion_dice", "lesion_f1"]
    chosen = [named[name] for name in wanted if name in named]
    return chosen or list(metrics[:5])


def _tolerances(names: Sequence[str], by_structure: Iterable[set[str]]) -> list[str]:
    """For each structure the middle one of its NSD columns, each column once."""
    chosen: list[str] = []
    for present in by_structure:
        own = [name for name in names if name.startswith("nsd_") and name[4:5].isdigit() and name in present]
        if own and not any(name in chosen for name in own):
            chosen.append(own[len(own) // 2])
    return chosen


def decimals(metric: Metric) -> int:
    """How many digits after the point are worth reading."""
    return 3 if not metric.unit else 2
