"""Which definition a number follows: ``medseg/1``, and presets that give each known tool's number.

The same masks score up to a third apart in HD95 and threefold in ASSD from tool to tool; so a report names
its definition, and a preset says where the rival's number comes from. docs/metrics.md compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf, nan
from types import MappingProxyType

from medseg.errors import MedsegError
from medseg.metrics.rules import Definition, Empties, LesionRules, Status

__all__ = ["MEDSEG_1", "MEDSEG_LESIONS", "PRESETS", "Definition", "LesionRules", "Status", "definition"]


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
        "MetricsReloaded: as medseg/1 in distances; both empty scores Dice 1, HD 0, NSD 1 and no IoU, one "
        "empty has undefined distances, a missed structure precision 0; the tolerance is compared without "
        "slack, axes of length one make every voxel surface.",
        empties=_empties(
            _kinds(1.0, 0.0, 0.0, 0.0, 1.0) | {"iou": nan},
            _kinds(0.0, nan, nan, nan, 0.0) | {"precision": 0.0},
            _kinds(0.0, nan, nan, nan, 0.0),
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
        reports=(*_SEEN_BY_ALL, *_VOLUMES, *_DISTANCES, "nsd", *_LESIONS, "lesion_assd_mm", "lesion_nsd"),
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
            _kinds(1.0, 0.0, 0.0, nan, nan) | {"recall": 1.0},
            _kinds(0.0, 374.0, 374.0, nan, 0.0),
            _kinds(0.0, 374.0, 374.0, nan, 0.0) | {"recall": 0.0},
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
        text="TotalSegmentator's resources/evaluate.py: Dice (with 1e-6 in its denominator) and DeepMind's "
        "NSD at 3 mm with the spacing fixed at 1.5 mm whatever the header says; an empty reference is "
        "undefined, so a false alarm costs nothing.",
        tolerances_mm=(3.0,),
        spacing_mm=1.5,
        dice_guard=1e-6,
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
