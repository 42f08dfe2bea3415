"""Which predicted lesion belongs to which lesion of the reference: components, and partners by a rule."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage, optimize

from medseg.arrays import Mask
from medseg.metrics.rules import LesionRules

Box: TypeAlias = tuple[slice, ...]
Components: TypeAlias = npt.NDArray[np.int32]
"""A number from 1 for each piece of a mask, 0 outside, shape of the mask."""
Partners: TypeAlias = tuple[dict[int, list[int]], list[int]]
"""Each reference lesion's predicted components, and the predicted components that no lesion has."""


def paired(prediction: Mask, reference: Mask, rules: LesionRules) -> tuple[Components, Components, Partners]:
    """Predicted and reference lesions on the masks' grid, and who is whose partner."""
    of_prediction = _components(prediction, rules)
    if rules.rule == "dilated":
        of_reference = _merged(reference, rules)
        return of_prediction, of_reference, _dilated_partners(of_prediction, of_reference, rules)
    of_reference = _components(reference, rules)
    return of_prediction, of_reference, _single_partners(of_prediction, of_reference, rules)


def grown_box(mask: Mask, margin: int) -> Box:
    """The bounding box of a mask with a margin, inside the image; one voxel where the mask is empty."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    return _widened(found[0], margin, mask.shape) if found else (slice(0, 1),) * mask.ndim


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


def _widened(box: Box, margin: int, shape: tuple[int, ...]) -> Box:
    return tuple(
        slice(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in zip(box, shape, strict=True)
    )
