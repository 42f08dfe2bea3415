"""Scores lesion by lesion: which lesions were found, how well, and what was invented.

``dilated`` is BraTS 2023's: reference lesions whose dilations touch are one, and its partners are
all whole predicted components that meet the dilated lesion. The others pair components one to one, by falling
score or by the best sum of scores, as panoptica does (BraTS 2026).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan
from typing import Any

import numpy as np
from scipy import ndimage

from medseg.arrays import Mask, Spacing
from medseg.metrics.definitions import Definition, LesionRules
from medseg.metrics.kdtree import measure_masks
from medseg.metrics.overlap import ratio
from medseg.metrics.pairing import Box, Components, grown_box, paired
from medseg.metrics.surface_metrics import distance_metrics, percentile_name, tolerance_metrics


@dataclass(frozen=True)
class Lesion:
    """One lesion of the reference, or one that only the prediction has.

    Attributes:
        kind: ``found``, ``missed`` (no partner, or one that overlaps too little), ``invented`` or
            ``too_small`` (left out of every score).
        volume_mm3: in the reference; 0 for an invented one.
        prediction_mm3: of its partners.
        dice: with its partners together; 0 where there is none.
        iou: the same pair's.
        hd95_mm: the same pair's; the rules' penalty where one of both is missing.
        assd_mm: as `hd95_mm`.
        nsd: the same pair's at the smallest spacing.
        centre: voxel index of its centre of mass.
    """

    kind: str
    volume_mm3: float
    prediction_mm3: float
    dice: float
    iou: float
    hd95_mm: float
    assd_mm: float
    nsd: float
    centre: tuple[float, ...]


def lesion_scores(
    prediction: Mask, reference: Mask, spacing_mm: Spacing, how: Definition
) -> tuple[dict[str, float], list[Lesion]]:
    """The lesion-wise metrics of one structure, and its lesions: those of the reference first.

    Both empty, or nothing left above the size limit: ``dilated`` gives Dice 1 and HD95 0 as the official
    script, the others give nan. Source of the constants: BraTS-2023-Metrics, metrics.py.
    """
    assert how.lesions is not None
    rules = how.lesions
    box = grown_box(prediction | reference, rules.dilation + 1)
    of_prediction, of_reference, (partners, spare) = paired(prediction[box], reference[box], rules)
    judge = _Judge(of_prediction, of_reference, tuple(spacing_mm), how, tuple(s.start for s in box))
    lesions = [judge.reference_lesion(n, found) for n, found in partners.items()]
    lesions += [judge.invented(n) for n in spare]
    return _summary(lesions, rules, of_prediction), lesions


def _summary(lesions: Sequence[Lesion], rules: LesionRules, of_prediction: Components) -> dict[str, float]:
    counted = [x for x in lesions if x.kind != "too_small"]
    found = [x for x in counted if x.kind == "found"]
    n_fn, n_fp = (sum(x.kind == kind for x in counted) for kind in ("missed", "invented"))
    recognition = ratio(len(found), len(found) + 0.5 * n_fn + 0.5 * n_fp)
    quality = ratio(sum(x.iou for x in found), len(found))
    if rules.average == "found" and counted and not found:
        quality = 0.0
    return _means(counted, rules) | {
        "lesion_n_reference": float(len(found) + n_fn),
        "lesion_n_prediction": float(of_prediction.max(initial=0)),
        "lesion_tp": float(len(found)),
        "lesion_fp": float(n_fp),
        "lesion_fn": float(n_fn),
        "lesion_f1": recognition,
        "lesion_precision": ratio(len(found), len(found) + n_fp),
        "lesion_recall": ratio(len(found), len(found) + n_fn),
        "panoptic_quality": recognition * quality if found else (0.0 if counted else nan),
        "segmentation_quality": quality,
        "recognition_quality": recognition,
    }


def _means(counted: Sequence[Lesion], rules: LesionRules) -> dict[str, float]:
    """Mean Dice, HD95, ASSD and NSD of the lesions that the rules average."""
    names = ("lesion_dice", "lesion_hd95_mm", "lesion_assd_mm", "lesion_nsd")
    averaged = [x for x in counted if rules.average != "found" or x.kind == "found"]
    present = any(x.kind != "invented" for x in counted)
    if not counted or (rules.average == "all_where_present" and not present):
        values = (1.0, 0.0, nan, nan) if rules.rule == "dilated" else (nan,) * 4
    elif not averaged:
        values = (0.0, inf, inf, 0.0)
    else:
        of_each = zip(*((x.dice, x.hd95_mm, x.assd_mm, x.nsd) for x in averaged), strict=True)
        values = tuple(sum(numbers) / len(averaged) for numbers in of_each)
    return dict(zip(names, values, strict=True))


class _Judge:
    """Scores single lesions of two component maps on one cropped grid."""

    def __init__(
        self, of_prediction: Components, of_reference: Components, spacing: Spacing, how: Definition, at: Any
    ) -> None:
        assert how.lesions is not None
        self.maps = of_prediction, of_reference
        self.boxes = ndimage.find_objects(of_prediction), ndimage.find_objects(of_reference)
        self.spacing, self.how, self.rules, self.at = spacing, how, how.lesions, at
        self.voxel_mm3 = float(np.prod(spacing))

    def reference_lesion(self, number: int, partners: Sequence[int]) -> Lesion:
        """A lesion of the reference with its partners, judged as one pair."""
        box = _hull([self.boxes[1][number - 1], *(self.boxes[0][p - 1] for p in partners)])
        own = self.maps[1][box] == number
        theirs = np.isin(self.maps[0][box], partners) if len(partners) else np.zeros_like(own)
        n_own, n_theirs = int(own.sum()), int(theirs.sum())
        n_both = int((own & theirs).sum())
        lost = self.rules.penalty_mm, self.rules.penalty_mm, 0.0
        hd95, assd, nsd = self._distances(theirs, own) if n_theirs else lost
        small = n_own * self.voxel_mm3 <= self.rules.smallest_mm3
        dice = 2 * n_both / (n_own + n_theirs)
        detected = n_theirs and dice >= self.rules.detected
        return Lesion(
            kind="too_small" if small else "found" if detected else "missed",
            volume_mm3=n_own * self.voxel_mm3,
            prediction_mm3=n_theirs * self.voxel_mm3,
            dice=dice,
            iou=n_both / (n_own + n_theirs - n_both),
            hd95_mm=hd95,
            assd_mm=assd,
            nsd=nsd,
            centre=self._centre(own, box),
        )

    def invented(self, number: int) -> Lesion:
        """A predicted component without a partner."""
        box = self.boxes[0][number - 1]
        mask = self.maps[0][box] == number
        volume = int(mask.sum()) * self.voxel_mm3
        lost = self.rules.penalty_mm
        return Lesion("invented", 0.0, volume, 0.0, 0.0, lost, lost, 0.0, self._centre(mask, box))

    def _distances(self, prediction: Mask, reference: Mask) -> tuple[float, float, float]:
        """HD95 and ASSD in mm, NSD at the smallest spacing."""
        how = self.how
        by_element = how.surface == "elements"
        measure = measure_masks(
            prediction, reference, self.spacing, voxels=not by_element, elements=by_element
        )
        surface = measure.elements if by_element else measure.surface
        assert surface is not None
        nsd = next(iter(tolerance_metrics(surface, [min(self.spacing)], how).values()))
        found = distance_metrics(surface, how)
        return found[percentile_name(how.percentiles[0])], found["assd_mm"], nsd

    def _centre(self, mask: Mask, box: Box) -> tuple[float, ...]:
        middle = np.argwhere(mask).mean(axis=0)
        return tuple(float(m + s.start + a) for m, s, a in zip(middle, box, self.at, strict=True))


def _hull(boxes: Sequence[Box]) -> Box:
    return tuple(slice(min(s.start for s in a), max(s.stop for s in a)) for a in zip(*boxes, strict=True))
