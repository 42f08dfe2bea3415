"""The choices that make a metric's number: how empty masks, borders, percentiles and lesions are counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["ok", "both_empty", "missed", "false_alarm", "missing_prediction"]
Empties = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class LesionRules:
    """How lesions are paired and what unpaired ones cost.

    Attributes:
        dilation: rounds of 18-neighbour dilation that join reference lesions and find their partners.
        smallest_mm3: reference lesions up to this volume are left out.
        penalty_mm: HD95 of a lesion that was missed or invented.
        rule: ``dilated`` (BraTS 2023), or one partner each: by ``falling`` score, or so that the sum of
            all scores is largest (``best``).
        pairs_by: the score of two overlapping lesions in the last two rules, ``dice`` or ``iou``.
        overlap: least such score for two lesions to be partners.
        detected: least Dice at which a lesion with a partner counts as found; below it, as missed.
        average: the lesions that ``lesion_dice`` and its kin average: ``all`` that count and all invented,
            only those ``found``, or ``all`` where the reference has one that counts, else nothing.
        connectivity: 26 or 6 neighbours make a component.
        flat_connectivity: 8 or 4 in a slice.
    """

    dilation: int = 3
    smallest_mm3: float = 50.0
    penalty_mm: float = 374.0
    rule: Literal["dilated", "falling", "best"] = "dilated"
    pairs_by: Literal["dice", "iou"] = "dice"
    overlap: float = 0.0
    detected: float = 0.0
    average: Literal["all", "found", "all_where_present"] = "all"
    connectivity: Literal[6, 26] = 26
    flat_connectivity: Literal[4, 8] = 8


@dataclass(frozen=True)
class Definition:
    """How every number of a report is made.

    Attributes:
        name: as in ``--preset``, with its version after a slash.
        text: one paragraph for the report.
        surface: ``voxels`` (centres of 6-neighbour boundary voxels) or ``elements`` (DeepMind's surfels).
        percentiles: which percentiles of the surface distances to report.
        percentile_rule: ``max_directed`` or ``union`` of both directions.
        assd_rule: ``pooled`` over all surface points or ``mean_of_means``.
        nsd_rule: ``pooled`` or ``mean_of_ratios``.
        tolerances_mm: where the user names none; empty where the tool takes the smallest spacing.
        slack: relative slack of ``distance <= tolerance``, for float32 headers.
        squeezes: whether axes of length one are dropped before a surface is sought.
        ignore: ``exclude`` voxels of the ignore label, or count them as background (``zero``).
        penalty_mm: what a miss costs in the penalised mean; None for the image's diagonal.
        spacing_mm: a spacing that the tool assumes whatever the header says.
        dice_guard: what the tool adds to Dice's denominator against a division by 0.
        empties: status to metric kind, or one metric's name, to the value that the tool gives.
        reports: the metric families of a report; empty for all.
        lesions: rules of lesion-wise scores, or None.
        regions: used where the user names no structures.
    """

    name: str
    text: str
    surface: Literal["voxels", "elements"] = "voxels"
    percentiles: tuple[float, ...] = (95.0,)
    percentile_rule: Literal["max_directed", "union"] = "max_directed"
    assd_rule: Literal["pooled", "mean_of_means"] = "pooled"
    nsd_rule: Literal["pooled", "mean_of_ratios"] = "pooled"
    tolerances_mm: tuple[float, ...] = (1.0, 2.0, 3.0)
    slack: float = 0.0
    squeezes: bool = False
    ignore: Literal["exclude", "zero"] = "exclude"
    penalty_mm: float | None = None
    spacing_mm: float | None = None
    dice_guard: float = 0.0
    empties: Empties = field(default_factory=dict)
    reports: tuple[str, ...] = ()
    lesions: LesionRules | None = None
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def has(self, family: str) -> bool:
        """Whether a report shows the family (``dice``, ``nsd``, ``hd`` for percentiles)."""
        return not self.reports or family in self.reports

    @property
    def needs_distances(self) -> bool:
        """Whether any reported metric needs surface distances."""
        return any(self.has(f) for f in ("hausdorff_mm", "hd", "assd_mm", "masd_mm", "nsd", "boundary_f1"))
