"""From two sets of directed surface distances to HD, HD95, ASSD, MASD, NSD and their kin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medseg.metrics.catalogue import at_tolerance
from medseg.metrics.definitions import Definition
from medseg.metrics.measures import Distances, SurfaceDistances
from medseg.metrics.overlap import ratio

NAN = float("nan")


def percentile_name(percentile: float) -> str:
    """The column's name of a percentile Hausdorff distance: ``hd95_mm``."""
    return f"hd{percentile:g}_mm"


def distance_metrics(surface: SurfaceDistances, how: Definition) -> dict[str, float]:
    """HD, its percentiles and the average distances in mm, by the definition `how`."""
    there, back = surface.from_reference, surface.from_prediction
    mean_there, mean_back = (
        _mean(there, surface.reference_weights),
        _mean(back, surface.prediction_weights),
    )
    means = _mean_of([mean_there, mean_back])
    found = {
        "hausdorff_mm": _largest([there.max(initial=-1.0), back.max(initial=-1.0)]),
        "assd_mm": means if how.assd_rule == "mean_of_means" else _pooled_mean(surface),
        "masd_mm": means,
        "asd_reference_to_prediction_mm": mean_there,
        "asd_prediction_to_reference_mm": mean_back,
    }
    for percentile in how.percentiles:
        found[percentile_name(percentile)] = _percentile(surface, percentile, how)
    return found


def tolerance_metrics(
    surface: SurfaceDistances, tolerances_mm: Sequence[float], how: Definition, nsd_name: str = "nsd"
) -> dict[str, float]:
    """NSD and boundary F1 (the harmonic mean of both directed shares) at each tolerance in mm."""
    found = {}
    for tolerance in tolerances_mm:
        limit = tolerance * (1 + how.slack)
        within = [
            _within(surface.from_reference, surface.reference_weights, limit),
            _within(surface.from_prediction, surface.prediction_weights, limit),
        ]
        shares = [ratio(inside, whole) for inside, whole in within]
        pooled = ratio(sum(i for i, _ in within), sum(w for _, w in within))
        nsd = _mean_of(shares) if how.nsd_rule == "mean_of_ratios" else pooled
        found[at_tolerance(nsd_name, tolerance)] = nsd
        found[at_tolerance("boundary_f1", tolerance)] = _harmonic(*shares)
    return found


def boundary_iou(surface: SurfaceDistances) -> float:
    """Intersection over union of both boundaries, one voxel thick, as in Metrics Reloaded."""
    shared = int(np.count_nonzero(surface.from_reference == 0))
    union = len(surface.from_reference) + len(surface.from_prediction) - shared
    return shared / union if union else NAN


def _percentile(surface: SurfaceDistances, percentile: float, how: Definition) -> float:
    there, back = surface.from_reference, surface.from_prediction
    if how.percentile_rule == "union":
        pooled = np.concatenate([there, back])
        return float(np.percentile(pooled, percentile)) if len(pooled) else NAN
    directed = [(there, surface.reference_weights), (back, surface.prediction_weights)]
    return _largest([_directed_percentile(d, w, percentile) for d, w in directed if len(d)])


def _directed_percentile(distances: Distances, weights: Distances | None, percentile: float) -> float:
    """Linear between neighbours; with weights, the first distance that reaches the share of the area."""
    if weights is None:
        return float(np.percentile(distances, percentile))
    order = np.lexsort((weights, distances))
    share = np.cumsum(weights[order]) / weights.sum()
    at = min(int(np.searchsorted(share, percentile / 100)), len(distances) - 1)
    return float(distances[order][at])


def _pooled_mean(surface: SurfaceDistances) -> float:
    there, back = surface.from_reference, surface.from_prediction
    if surface.reference_weights is None or surface.prediction_weights is None:
        n = len(there) + len(back)
        return float((there.sum() + back.sum()) / n) if n else NAN
    area = surface.reference_weights.sum() + surface.prediction_weights.sum()
    sums = (there * surface.reference_weights).sum() + (back * surface.prediction_weights).sum()
    return float(sums / area) if area else NAN


def _mean(distances: Distances, weights: Distances | None) -> float:
    if not len(distances):
        return NAN
    return float(distances.mean() if weights is None else (distances * weights).sum() / weights.sum())


def _within(distances: Distances, weights: Distances | None, limit: float) -> tuple[float, float]:
    inside = distances <= limit
    if weights is None:
        return float(np.count_nonzero(inside)), float(len(distances))
    return float(weights[inside].sum()), float(weights.sum())


def _largest(values: Sequence[float]) -> float:
    """The largest, without the -1 that stands for no distance at all; nan where nothing is left."""
    return float(max((v for v in values if v >= 0), default=NAN))


def _mean_of(values: Sequence[float]) -> float:
    known = [v for v in values if not np.isnan(v)]
    return float(sum(known) / len(known)) if known else NAN


def _harmonic(one: float, other: float) -> float:
    return 2 * one * other / (one + other) if one + other > 0 else 0.0 if one + other == 0 else NAN
