"""The scores of a structure and of a case, and how a measure becomes a score under a definition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isinf, isnan, nan
from typing import Any

import numpy as np

from medseg.metrics.catalogue import metric
from medseg.metrics.definitions import Definition
from medseg.metrics.measures import Agreement, Measure
from medseg.metrics.overlap import overlap_metrics, ratio, volume_metrics
from medseg.metrics.surface_metrics import boundary_iou, distance_metrics, percentile_name, tolerance_metrics


@dataclass(frozen=True)
class StructureScore:
    """The numbers of one structure of one case.

    Attributes:
        name: the structure's.
        status: ``ok``, ``both_empty``, ``missed`` or ``false_alarm``; a report adds ``missing_prediction``.
        metrics: name to value; nan is undefined, inf is infinite.
        penalised: the same with what a miss or a false alarm costs; nan where it is not to be averaged.
        lesions: one entry per lesion where lesion-wise metrics ran.
    """

    name: str
    status: str
    metrics: Mapping[str, float]
    penalised: Mapping[str, float]
    lesions: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class CaseScore:
    """The numbers of one case.

    Attributes:
        structures: one score per structure, in the order asked for.
        overall: ``miou`` over structures with voxels, ``pixel_accuracy`` and ``kappa`` over all classes.
        flags: ``squeezed`` where axes of length one were dropped.
        unknown: voxels whose label nobody declared, by value, of ``prediction`` and ``reference``.
    """

    structures: tuple[StructureScore, ...]
    overall: Mapping[str, float]
    flags: tuple[str, ...] = ()
    unknown: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> StructureScore:
        return next(s for s in self.structures if s.name == name)


@dataclass(frozen=True)
class Grid:
    """What turns voxels into millimetres.

    Attributes:
        shape: of the image, all axes.
        spacing_mm: per axis of `shape`.
    """

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel; of two axes, of a slice 1 mm thick."""
        return float(np.prod(self.spacing_mm))

    @property
    def diagonal_mm(self) -> float:
        """Length of the image's diagonal, from corner to corner."""
        return float(np.linalg.norm(np.asarray(self.shape) * np.asarray(self.spacing_mm)))


def structure_score(
    name: str,
    measure: Measure,
    how: Definition,
    grid: Grid,
    tolerances_mm: Sequence[float],
    by_lesion: tuple[Mapping[str, float], Sequence[Mapping[str, Any]]] = ({}, ()),
) -> StructureScore:
    """The score of one structure by the definition `how`, empty masks by its policy."""
    values = overlap_metrics(measure, how.dice_guard) | volume_metrics(measure, grid.voxel_mm3)
    if measure.status == "ok":
        values |= _distances(measure, how, tolerances_mm)
    else:
        values |= dict.fromkeys(_distance_names(how, tolerances_mm), nan)
        values = _with_policy(values, measure.status, how)
    values |= by_lesion[0]
    shown = {key: float(v) for key, v in values.items() if how.has(_family(key))}
    counted = penalised(shown, measure.status, how, grid)
    return StructureScore(name, measure.status, shown, counted, tuple(by_lesion[1]))


def penalised(values: Mapping[str, float], status: str, how: Definition, grid: Grid) -> dict[str, float]:
    """What each value counts as in a penalised mean: the worst there is for a miss or a false alarm.

    A structure that both leave empty stays out (nan).
    """
    worst = {"zero": 0.0, "diagonal": grid.diagonal_mm if how.penalty_mm is None else how.penalty_mm}
    if status == "ok":
        # Both are there, but no lesion of the one met one of the other.
        return {key: worst["diagonal"] if isinf(value) else value for key, value in values.items()}
    if status == "both_empty":
        worst = dict.fromkeys(worst, nan)
    return {key: worst.get(metric(key).worst, value) for key, value in values.items()}


def overall_scores(scores: Sequence[StructureScore], agreement: Agreement | None) -> dict[str, float]:
    """Scores over all structures: mean IoU where either mask has voxels, accuracy and kappa over classes."""
    ious = [s.metrics["iou"] for s in scores if s.status != "both_empty" and "iou" in s.metrics]
    known = [v for v in ious if not isnan(v)]
    found = {"miou": ratio(sum(known), len(known))}
    if agreement is not None:
        found |= {"pixel_accuracy": agreement.accuracy, "kappa": agreement.kappa}
    return found


def _distances(measure: Measure, how: Definition, tolerances_mm: Sequence[float]) -> dict[str, float]:
    values: dict[str, float] = {"centre_distance_mm": _centre_distance(measure)}
    surface = measure.elements if how.surface == "elements" else measure.surface
    if surface is not None:
        values |= distance_metrics(surface, how) | tolerance_metrics(surface, tolerances_mm, how)
    if how.surface == "voxels" and measure.surface is not None:
        values["boundary_iou"] = boundary_iou(measure.surface)
        if measure.elements is not None:
            by_element = tolerance_metrics(measure.elements, tolerances_mm, how, "nsd_surfel")
            values |= {key: v for key, v in by_element.items() if key.startswith("nsd_surfel")}
    return {key: values[key] for key in _distance_names(how, tolerances_mm) if key in values}


def _distance_names(how: Definition, tolerances_mm: Sequence[float]) -> list[str]:
    names = ["hausdorff_mm", *[percentile_name(p) for p in how.percentiles], "assd_mm", "masd_mm"]
    names += ["asd_reference_to_prediction_mm", "asd_prediction_to_reference_mm"]
    families = ["nsd", "boundary_f1"] if how.surface == "elements" else ["nsd", "nsd_surfel", "boundary_f1"]
    names += [f"{family}_{t:g}mm" for family in families for t in tolerances_mm]
    if how.surface == "voxels":
        names.append("boundary_iou")
    names.append("centre_distance_mm")
    return [n for n in names if how.has(_family(n))]


def _family(name: str) -> str:
    kind = metric(name).kind
    if kind == "percentile":
        return "hd"
    if name.startswith("asd_"):
        return "asd"
    return name.rsplit("_", 1)[0] if kind == "surface_overlap" and name.endswith("mm") else name


def _with_policy(values: Mapping[str, float], status: str, how: Definition) -> dict[str, float]:
    """The values of a pair of which one or both are empty, as the definition's tool would give them."""
    policy = how.empties.get(status, {})
    # These follow from the counts alone, whatever is empty, unless the policy names them.
    by_counts = ("precision", "recall", "specificity", "pixel_accuracy", "kappa")
    return {
        key: policy.get(key, value if key in by_counts else policy.get(metric(key).kind, value))
        for key, value in values.items()
    }


def _centre_distance(measure: Measure) -> float:
    one, other = measure.centre_reference, measure.centre_prediction
    return float(np.linalg.norm(np.asarray(one) - np.asarray(other))) if one and other else nan
