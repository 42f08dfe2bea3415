"""Overlap and volume from the counts of one structure, in closed formulas."""

from __future__ import annotations

from medseg.metrics.measures import Measure

NAN = float("nan")
JACCARD_THRESHOLD = 0.65
"""ISIC 2018 Task 1: a case below this Jaccard index scores 0 (Codella et al., arXiv:1902.03368)."""


def ratio(part: float, whole: float) -> float:
    """`part` over `whole`; nan where `whole` is 0."""
    return part / whole if whole else NAN


def dice(m: Measure, guard: float = 0.0) -> float:
    """2 TP / (2 TP + FP + FN + guard), in [0, 1]; nan where both masks are empty and no guard (Dice 1945)."""
    return ratio(2 * m.n_both, m.n_reference + m.n_prediction + guard)


def iou(m: Measure) -> float:
    """TP / (TP + FP + FN), in [0, 1]; nan where both masks are empty (Jaccard 1912)."""
    return ratio(m.n_both, m.n_reference + m.n_prediction - m.n_both)


def kappa(m: Measure) -> float:
    """Cohen's kappa of structure against rest, in [-1, 1]; nan where chance explains everything."""
    n = m.n_voxels
    if not n:
        return NAN
    outside = (n - m.n_reference) / n * ((n - m.n_prediction) / n)
    chance = (m.n_reference / n) * (m.n_prediction / n) + outside
    observed = (n - m.n_reference - m.n_prediction + 2 * m.n_both) / n
    return ratio(observed - chance, 1 - chance)


def overlap_metrics(m: Measure, dice_guard: float = 0.0) -> dict[str, float]:
    """Every overlap metric and the four counts, by their names in the catalogue."""
    fp, fn = m.n_prediction - m.n_both, m.n_reference - m.n_both
    tn = m.n_voxels - m.n_both - fp - fn
    jaccard = iou(m)
    return {
        "tp_voxels": m.n_both,
        "fp_voxels": fp,
        "fn_voxels": fn,
        "tn_voxels": tn,
        "dice": dice(m, dice_guard),
        "iou": jaccard,
        "precision": ratio(m.n_both, m.n_prediction),
        "recall": ratio(m.n_both, m.n_reference),
        "specificity": ratio(tn, tn + fp),
        "pixel_accuracy": ratio(m.n_both + tn, m.n_voxels),
        "kappa": kappa(m),
        "thresholded_jaccard": 0.0 if jaccard < JACCARD_THRESHOLD else jaccard,
    }


def volume_metrics(m: Measure, voxel_mm3: float) -> dict[str, float]:
    """Volumes in ml and their difference, prediction minus reference."""
    reference, prediction = m.n_reference * voxel_mm3 / 1000, m.n_prediction * voxel_mm3 / 1000
    return {
        "volume_reference_ml": reference,
        "volume_prediction_ml": prediction,
        "volume_difference_ml": prediction - reference,
        "volume_absolute_difference_ml": abs(prediction - reference),
        "volume_relative_difference": ratio(m.n_prediction - m.n_reference, m.n_reference),
    }
