"""Which definition a number follows: ``medseg/1``, and presets that give each known tool's number.

The same masks score up to a third apart in HD95 and threefold in ASSD from tool to tool; so a report names
its definition, and a preset says where the rival's number comes from. docs/metrics.md compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf, nan
from types import MappingProxyType
from typing import Literal

from medseg.errors import MedsegError

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


def _empties(both: Mapping[str, float], missed: Mapping[str, float], alarm: Mapping[str, float]) -> Empties:
    return MappingProxyType({"both_empty": dict(both), "missed": dict(missed), "false_alarm": dict(alarm)})


def _kinds(overlap: float, hausdorff: float, percentile: float, mean: float, nsd: float) -> dict[str, float]:
    return {
        "overlap": overlap,
        "hausdorff": hausdorff,
        "percentile": percentile,
        "mean_distance": mean,
        "surface_overlap": nsd,
    }


_NOTHING = _kinds(nan, nan, nan, nan, nan)
_LOST = _kinds(0.0, inf, inf, inf, 0.0)
_SEEN_BY_ALL = ("tp_voxels", "fp_voxels", "fn_voxels", "tn_voxels", "dice", "iou", "precision", "recall")
_VOLUMES = ("volume_reference_ml", "volume_prediction_ml")
_DISTANCES = ("hausdorff_mm", "hd", "assd_mm", "masd_mm")
_EVERYTHING_ELSE = (
    *("specificity", "pixel_accuracy", "kappa", "thresholded_jaccard", *_VOLUMES, "volume_difference_ml"),
    *("volume_absolute_difference_ml", "volume_relative_difference", *_DISTANCES, "nsd", "nsd_surfel"),
    *("boundary_f1", "boundary_iou", "centre_distance_mm"),
)
_BRATS = {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
_LESIONS = (
    "lesion_dice",
    "lesion_hd95_mm",
    "lesion_n_reference",
    "lesion_n_prediction",
    "lesion_tp",
    "lesion_fp",
    "lesion_fn",
    "lesion_f1",
    "lesion_precision",
    "lesion_recall",
    "panoptic_quality",
    "segmentation_quality",
    "recognition_quality",
)

MEDSEG_1 = Definition(
    "medseg/1",
    "Surfaces are the voxels of a mask with at least one of 6 face neighbours outside it (outside the image "
    "counts as outside); distances run between voxel centres in millimetres, in double precision. HD is the "
    "maximum, HD95 the larger of the two directed 95th percentiles with linear interpolation, ASSD the mean "
    "over both surfaces pooled, MASD the mean of the two directed means, NSD the share of all surface voxels "
    "within the tolerance (d <= tau (1 + 1e-6)). Both empty: undefined, never averaged; one empty: overlap "
    "and NSD 0, distances infinite, replaced by the image's diagonal in penalised means only. Axes of length "
    "one are dropped. These are Metrics Reloaded's definitions and MONAI's voxel mode.",
    slack=1e-6,
    squeezes=True,
    empties=_empties(_NOTHING, _LOST, _LOST),
    reports=(*_SEEN_BY_ALL, *_EVERYTHING_ELSE),
)

_DEEPMIND = Definition(
    "deepmind/0.1",
    "DeepMind surface-distance: surfaces are marching-cubes elements on the voxel corners, HD95 the larger "
    "of two area-weighted percentiles without interpolation, average distances and NSD weighted by area; "
    "assd_mm pools both directions by area, masd_mm is the mean of the two directed averages.",
    surface="elements",
    empties=_empties(
        _kinds(nan, inf, inf, nan, nan),
        _kinds(0.0, inf, inf, nan, 0.0) | {"asd_reference_to_prediction_mm": inf},
        _kinds(0.0, inf, inf, nan, 0.0) | {"asd_prediction_to_reference_mm": inf},
    ),
    reports=(*_SEEN_BY_ALL, *_VOLUMES, *_DISTANCES, "asd", "nsd"),
)
_BRATS_TEXT = (
    "Regions WT (1,2,3), TC (1,3), ET (3); lesions are 26-connected components; "
    "whole-region Dice and HD95 stand beside the lesion-wise ones. "
)

_PAIRED = LesionRules(dilation=0, smallest_mm3=0.0, rule="falling", overlap=0.1)
# brats_evaluation 0.0.10: panoptica's MaxBipartiteMatching; what it averages are the pairs alone.
_BRATS_2026_RULES = replace(_PAIRED, penalty_mm=373.0, rule="best", overlap=1e-6, average="found")
MEDSEG_LESIONS = replace(
    MEDSEG_1,
    name="medseg_lesions/1",
    text=f"{MEDSEG_1.text} Lesions are 26-connected components, paired one to one by falling Dice of "
    "0.1 or more; a missed or invented lesion scores Dice 0, NSD 0 and an HD95 of 374 mm.",
    reports=(*MEDSEG_1.reports, *_LESIONS, "lesion_nsd"),
    lesions=_PAIRED,
)
_PRESETS: tuple[Definition, ...] = (
    MEDSEG_1,
    MEDSEG_LESIONS,
    Definition(
        "monai/1.6.1",
        "MONAI 1.6.1 voxel mode: as medseg/1 in distances, but HD95 of a missed structure is undefined, so "
        "dropped, Dice of an empty reference is undefined, and axes of length one make every voxel surface.",
        slack=1e-7,
        ignore="zero",
        empties=_empties(_NOTHING, _kinds(0.0, inf, nan, inf, 0.0), _kinds(nan, inf, nan, inf, 0.0)),
        reports=(*_SEEN_BY_ALL, *_VOLUMES, *_DISTANCES, "asd", "nsd"),
    ),
    Definition(
        "metrics_reloaded/0.1",
        "MetricsReloaded: as medseg/1 in distances; both empty scores Dice 1, HD 0, NSD 1, one empty has "
        "undefined distances; the tolerance is compared without slack.",
        empties=_empties(
            _kinds(1.0, 0.0, 0.0, 0.0, 1.0), _kinds(0.0, nan, nan, nan, 0.0), _kinds(0.0, nan, nan, nan, 0.0)
        ),
        reports=(*_SEEN_BY_ALL, *_VOLUMES, *_DISTANCES, "nsd", "boundary_iou"),
    ),
    _DEEPMIND,
    Definition(
        "medpy/0.5",
        "medpy: HD95 is the percentile of both directions' union; empty masks raise there and are undefined "
        "here; Dice of two empty masks is 1.",
        percentile_rule="union",
        empties=_empties(
            _kinds(1.0, nan, nan, nan, nan), _kinds(0.0, nan, nan, nan, 0.0), _kinds(0.0, nan, nan, nan, 0.0)
        ),
        reports=(*_SEEN_BY_ALL, *_VOLUMES, *_DISTANCES, "asd"),
    ),
    Definition(
        "panoptica/2.1",
        "panoptica: HD95 is the percentile of both directions' union, its ASSD the mean of two means, its "
        "NSD the mean of two ratios with the smallest spacing as tolerance; where one mask is empty, ASSD is "
        "infinite and HD, HD95 and NSD are undefined. Instances are components (26 neighbours, 4 in a "
        "slice), paired one to one by falling IoU of 0.5 or more; SQ and the lesion-wise numbers are of "
        "pairs alone.",
        percentile_rule="union",
        assd_rule="mean_of_means",
        nsd_rule="mean_of_ratios",
        tolerances_mm=(),
        empties=_empties(_NOTHING, _kinds(0.0, nan, nan, inf, nan), _kinds(0.0, nan, nan, inf, nan)),
        reports=(*_SEEN_BY_ALL, *_VOLUMES, *_DISTANCES, "nsd", *_LESIONS, "lesion_nsd"),
        lesions=replace(_PAIRED, pairs_by="iou", overlap=0.5, average="found", flat_connectivity=4),
    ),
    replace(
        _DEEPMIND,
        name="brats2023/1",
        text=_BRATS_TEXT
        + "BraTS 2023 lesion-wise rules: reference lesions merge where their dilations (18 neighbours, 3 "
        "rounds) touch, partners are all whole predicted components that meet the dilated lesion, reference "
        "lesions of at most 50 mm3 are left out, a missed or invented lesion scores Dice 0 and HD95 374 mm.",
        penalty_mm=374.0,
        empties=_empties(
            _kinds(1.0, 0.0, 0.0, nan, nan),
            _kinds(0.0, 374.0, 374.0, nan, 0.0),
            _kinds(0.0, 374.0, 374.0, nan, 0.0),
        ),
        reports=(*_SEEN_BY_ALL, *_VOLUMES, "hd", *_LESIONS),
        lesions=LesionRules(),
        regions=_BRATS,
    ),
    Definition(
        "brats2026/1",
        _BRATS_TEXT
        + "BraTS 2026 rules (brats_evaluation 0.0.10, panoptica): components (26 neighbours) with a Dice of "
        "1e-6 or more are paired one to one so that the sum of Dice is largest, HD95 is the percentile of "
        "the union, NSD the mean of two ratios, of a whole region at 0.5 mm (its spacing does not reach that "
        "number there), of a lesion at the smallest spacing. Lesion-wise means are of pairs alone (no pair: "
        "Dice 0, NSD 0, HD95 infinite); the whole region's HD95 of one empty mask is 373 mm.",
        percentile_rule="union",
        assd_rule="mean_of_means",
        nsd_rule="mean_of_ratios",
        tolerances_mm=(0.5,),
        penalty_mm=373.0,
        empties=_empties(
            _kinds(nan, nan, nan, nan, nan),
            _kinds(0.0, 373.0, 373.0, nan, 0.0),
            _kinds(0.0, 373.0, 373.0, nan, 0.0),
        ),
        reports=(*_SEEN_BY_ALL, *_VOLUMES, "hd", "nsd", *_LESIONS, "lesion_nsd"),
        lesions=_BRATS_2026_RULES,
        regions=_BRATS,
    ),
    Definition(
        "nnunet/2",
        "nnU-Net: counts of voxels alone; both empty is undefined, one empty is 0; no surface distances.",
        empties=_empties(_NOTHING, _kinds(0.0, nan, nan, nan, nan), _kinds(0.0, nan, nan, nan, nan)),
        reports=("tp_voxels", "fp_voxels", "fn_voxels", "tn_voxels", "dice", "iou"),
    ),
    replace(
        _DEEPMIND,
        name="totalsegmentator/2",
        text="TotalSegmentator's resources/evaluate.py: Dice and DeepMind's NSD at 3 mm with the spacing "
        "fixed at 1.5 mm whatever the header says; an empty reference is undefined, so a false alarm "
        "costs nothing.",
        tolerances_mm=(3.0,),
        spacing_mm=1.5,
        empties=_empties(_NOTHING, _kinds(0.0, nan, nan, nan, 0.0), _NOTHING),
        reports=("dice", "nsd"),
    ),
)
_BRATS_2023, _BRATS_2026 = (d for d in _PRESETS if d.name.startswith("brats"))
_PRESETS += tuple(
    replace(_BRATS_2023, name=f"brats2023_{task}/1", text=f"{_BRATS_2023.text} {text}", lesions=rules)
    for task, text, rules in (
        ("men", "For meningioma the dilation is 1 round.", LesionRules(dilation=1)),
        ("met", "For metastases 1 round and at most 2 mm3.", LesionRules(dilation=1, smallest_mm3=2.0)),
    )
)
# Left out below 20 mm3, not at it.
_METS = replace(_BRATS_2026_RULES, smallest_mm3=19.999999, detected=0.1, average="all_where_present")
_PRESETS += (
    replace(
        _BRATS_2026,
        name="brats2026_mets/1",
        text=f"{_BRATS_2026.text} For metastases lesions of 20 mm3 or more count, a Dice below 0.1 is a "
        "miss, and lesion-wise means take missed and invented lesions (of any size) as "
        "Dice 0, NSD 0, HD95 373 mm.",
        lesions=_METS,
    ),
)
PRESETS: Mapping[str, Definition] = MappingProxyType({d.name.split("/")[0]: d for d in _PRESETS})


def definition(name: str) -> Definition:
    """The definition of that name, with or without its version.

    Raises:
        MedsegError: there is none.
    """
    known = {**PRESETS, **{d.name: d for d in _PRESETS}}
    if name not in known:
        raise MedsegError(f"no preset {name!r}", f"one of {', '.join(PRESETS)}", "correct the name")
    return known[name]
