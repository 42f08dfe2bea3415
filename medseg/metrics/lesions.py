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
import numpy.typing as npt
from scipy import ndimage, optimize

from medseg.arrays import Mask, Spacing
from medseg.metrics.definitions import Definition, LesionRules
from medseg.metrics.kdtree import measure_masks
from medseg.metrics.overlap import ratio
from medseg.metrics.surface_metrics import distance_metrics, percentile_name, tolerance_metrics

Box = tuple[slice, ...]
Components = npt.NDArray[np.int32]


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
        nsd: the same pair's at the smallest spacing.
        centre: voxel index of its centre of mass.
    """

    kind: str
    volume_mm3: float
    prediction_mm3: float
    dice: float
    iou: float
    hd95_mm: float
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
    box = _grown_box(prediction | reference, rules.dilation + 1)
    of_prediction = _components(prediction[box], rules)
    if rules.rule == "dilated":
        of_reference = _merged(reference[box], rules)
        partners, spare = _dilated_partners(of_prediction, of_reference, rules)
    else:
        of_reference = _components(reference[box], rules)
        partners, spare = _single_partners(of_prediction, of_reference, rules)
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
    """Mean Dice, HD95 and NSD of the lesions that the rules average."""
    names = ("lesion_dice", "lesion_hd95_mm", "lesion_nsd")
    averaged = [x for x in counted if rules.average != "found" or x.kind == "found"]
    present = any(x.kind != "invented" for x in counted)
    if not counted or (rules.average == "all_where_present" and not present):
        values = (1.0, 0.0, nan) if rules.rule == "dilated" else (nan, nan, nan)
    elif not averaged:
        values = (0.0, inf, 0.0)
    else:
        sums = (sum(x.dice for x in averaged), sum(x.hd95_mm for x in averaged), sum(x.nsd for x in averaged))
        values = (sums[0] / len(averaged), sums[1] / len(averaged), sums[2] / len(averaged))
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
        hd95, nsd = self._distances(theirs, own) if n_theirs else (self.rules.penalty_mm, 0.0)
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
            nsd=nsd,
            centre=self._centre(own, box),
        )

    def invented(self, number: int) -> Lesion:
        """A predicted component without a partner."""
        box = self.boxes[0][number - 1]
        mask = self.maps[0][box] == number
        volume = int(mask.sum()) * self.voxel_mm3
        return Lesion("invented", 0.0, volume, 0.0, 0.0, self.rules.penalty_mm, 0.0, self._centre(mask, box))

    def _distances(self, prediction: Mask, reference: Mask) -> tuple[float, float]:
        how = self.how
        by_element = how.surface == "elements"
        measure = measure_masks(
            prediction, reference, self.spacing, voxels=not by_element, elements=by_element
        )
        surface = measure.elements if by_element else measure.surface
        assert surface is not None
        nsd = tolerance_metrics(surface, [min(self.spacing)], how)
        return distance_metrics(surface, how)[percentile_name(how.percentiles[0])], next(iter(nsd.values()))

    def _centre(self, mask: Mask, box: Box) -> tuple[float, ...]:
        middle = np.argwhere(mask).mean(axis=0)
        return tuple(float(m + s.start + a) for m, s, a in zip(middle, box, self.at, strict=True))


def _dilated_partners(
    of_prediction: Components, of_reference: Components, rules: LesionRules
) -> tuple[dict[int, list[int]], list[int]]:
    """Each reference lesion with all predicted components that meet its dilation, and the ones left over."""
    partners: dict[int, list[int]] = {}
    met: set[int] = set()
    for number, box in enumerate(ndimage.find_objects(of_reference), 1):
        around = _widened(box, rules.dilation, of_reference.shape)
        near = _dilate(of_reference[around] == number, rules.dilation)
        partners[number] = sorted({int(n) for n in np.unique(of_prediction[around][near])} - {0})
        met.update(partners[number])
    return partners, [n for n in range(1, int(of_prediction.max(initial=0)) + 1) if n not in met]


def _single_partners(
    of_prediction: Components, of_reference: Components, rules: LesionRules
) -> tuple[dict[int, list[int]], list[int]]:
    """One partner each among those that overlap enough, and the predicted components left over."""
    n_p, n_r = int(of_prediction.max(initial=0)), int(of_reference.max(initial=0))
    p, r, scores = _overlapping(of_prediction, of_reference, rules)
    chosen = _best_sum(p, r, scores) if rules.rule == "best" else _falling(p, r, scores)
    partners: dict[int, list[int]] = {n: [] for n in range(1, n_r + 1)} | {
        int(r[at]): [int(p[at])] for at in chosen
    }
    return partners, sorted(set(range(1, n_p + 1)) - {int(p[at]) for at in chosen})


def _overlapping(of_prediction: Components, of_reference: Components, rules: LesionRules) -> Any:
    """Numbers of predicted and reference components that overlap enough, and their scores."""
    sizes_p, sizes_r = np.bincount(of_prediction.ravel()), np.bincount(of_reference.ravel())
    both = (of_prediction > 0) & (of_reference > 0)
    pairs, shared = np.unique(np.stack([of_prediction[both], of_reference[both]]), axis=1, return_counts=True)
    sums = sizes_p[pairs[0]] + sizes_r[pairs[1]]
    scores = 2 * shared / sums if rules.pairs_by == "dice" else shared / (sums - shared)
    enough = scores >= rules.overlap
    return pairs[0][enough], pairs[1][enough], scores[enough]


def _falling(p: Any, r: Any, scores: Any) -> list[int]:
    """The pairs taken one after another by falling score, each component once."""
    chosen: list[int] = []
    for at in np.lexsort((r, p, -scores)):
        if p[at] not in p[chosen] and r[at] not in r[chosen]:
            chosen.append(int(at))
    return chosen


def _best_sum(p: Any, r: Any, scores: Any) -> list[int]:
    """The pairs with the largest sum of scores, each component once."""
    rows, row = np.unique(r, return_inverse=True)
    columns, column = np.unique(p, return_inverse=True)
    # A pair that does not overlap costs a little more than nothing, as in panoptica.
    cost = np.full((len(rows), len(columns)), 1 + 1e-6)
    cost[row, column] = 1 - scores
    chosen = set(zip(*optimize.linear_sum_assignment(cost), strict=True))
    return [at for at in range(len(scores)) if (row[at], column[at]) in chosen]


def _components(mask: Mask, rules: LesionRules) -> Components:
    every = rules.flat_connectivity == 8 if mask.ndim == 2 else rules.connectivity == 26
    structure = np.ones((3,) * mask.ndim, bool) if every else None
    return ndimage.label(mask, structure, output=np.int32)[0]


def _merged(mask: Mask, rules: LesionRules) -> Components:
    """Components of the mask, those whose dilations touch under one number; numbers without gaps."""
    if rules.dilation == 0:
        return _components(mask, rules)
    joined = np.where(mask, _components(_dilate(mask, rules.dilation), rules), 0)
    kept = np.unique(joined)
    return np.searchsorted(kept, joined).astype(np.int32) + (0 if kept[0] == 0 else 1)


def _dilate(mask: Mask, rounds: int) -> Mask:
    if rounds == 0:
        return mask
    structure = ndimage.generate_binary_structure(mask.ndim, min(2, mask.ndim))
    return np.asarray(ndimage.binary_dilation(mask, structure, iterations=rounds))


def _grown_box(mask: Mask, margin: int) -> Box:
    """The bounding box of a mask with a margin, inside the image; one voxel where the mask is empty."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    return _widened(found[0], margin, mask.shape) if found else (slice(0, 1),) * mask.ndim


def _widened(box: Box, margin: int, shape: tuple[int, ...]) -> Box:
    return tuple(
        slice(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in zip(box, shape, strict=True)
    )


def _hull(boxes: Sequence[Box]) -> Box:
    return tuple(slice(min(s.start for s in a), max(s.stop for s in a)) for a in zip(*boxes, strict=True))
