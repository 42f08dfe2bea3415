"""Scores lesion by lesion: which lesions were found, how well, and what was invented.

Two rules. ``dilated`` is BraTS 2023's: reference lesions whose dilations touch are one, and its partners are
all whole predicted components that meet the dilated lesion. ``matched`` pairs components one to one by
falling Dice, as panoptica does (BraTS 2026).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

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
        kind: ``found``, ``missed``, ``invented`` or ``too_small`` (left out of every score).
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
    script, ``matched`` gives nan. Source of the constants: BraTS-2023-Metrics, metrics.py.
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
        partners, spare = _matched_partners(of_prediction, of_reference, rules)
    judge = _Judge(of_prediction, of_reference, tuple(spacing_mm), how, tuple(s.start for s in box))
    lesions = [judge.reference_lesion(n, found) for n, found in partners.items()]
    lesions += [judge.invented(n) for n in spare]
    return _summary(lesions, rules, of_prediction), lesions


def _summary(lesions: Sequence[Lesion], rules: LesionRules, of_prediction: Components) -> dict[str, float]:
    counted = [x for x in lesions if x.kind != "too_small"]
    found = [x for x in counted if x.kind == "found"]
    n_fn, n_fp = (sum(x.kind == kind for x in counted) for kind in ("missed", "invented"))
    n, nothing = len(counted), rules.rule == "dilated"
    recognition = ratio(len(found), len(found) + 0.5 * n_fn + 0.5 * n_fp)
    quality = ratio(sum(x.iou for x in found), len(found))
    return {
        "lesion_dice": sum(x.dice for x in counted) / n if n else (1.0 if nothing else nan),
        "lesion_hd95_mm": sum(x.hd95_mm for x in counted) / n if n else (0.0 if nothing else nan),
        "lesion_nsd": ratio(sum(x.nsd for x in counted), n),
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
        return Lesion(
            kind="too_small" if small else "found" if n_theirs else "missed",
            volume_mm3=n_own * self.voxel_mm3,
            prediction_mm3=n_theirs * self.voxel_mm3,
            dice=2 * n_both / (n_own + n_theirs),
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


def _matched_partners(
    of_prediction: Components, of_reference: Components, rules: LesionRules
) -> tuple[dict[int, list[int]], list[int]]:
    """One partner each, by falling Dice, where the Dice is above the rules' overlap."""
    n_p, n_r = int(of_prediction.max(initial=0)), int(of_reference.max(initial=0))
    sizes_p, sizes_r = np.bincount(of_prediction.ravel()), np.bincount(of_reference.ravel())
    both = (of_prediction > 0) & (of_reference > 0)
    pairs, shared = np.unique(np.stack([of_prediction[both], of_reference[both]]), axis=1, return_counts=True)
    dices = 2 * shared / (sizes_p[pairs[0]] + sizes_r[pairs[1]])
    partners: dict[int, list[int]] = {n: [] for n in range(1, n_r + 1)}
    spare = set(range(1, n_p + 1))
    for at in np.lexsort((pairs[0], pairs[1], -dices)):
        p, r = int(pairs[0, at]), int(pairs[1, at])
        if dices[at] > rules.overlap and p in spare and not partners[r]:
            partners[r] = [p]
            spare.discard(p)
    return partners, sorted(spare)


def _components(mask: Mask, rules: LesionRules) -> Components:
    structure = np.ones((3,) * mask.ndim, bool) if rules.connectivity == 26 else None
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
