"""Connected components of a label map: keep the largest of each structure, fill the holes in it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from scipy import ndimage

from medseg.arrays import LabelMap


def keep_largest(label_map: LabelMap, numbers: Iterable[int]) -> LabelMap:
    """A copy of the label map in which each of `numbers` is one piece; its smaller pieces become background.

    Pieces touch by a face, an edge or a corner (8 neighbours in 2D, 26 in 3D). Of two pieces of one size the
    first in array order stays. A structure that is absent stays absent.

    Args:
        label_map: shape (x, y) or (x, y, z).
        numbers: the label values to clean; others are left as they are.

    >>> keep_largest(np.array([[1, 1, 0, 1]]), [1])
    array([[1, 1, 0, 0]])
    """
    cleaned = label_map.copy()
    touching = np.ones((3,) * label_map.ndim)
    for number in numbers:
        pieces, n_pieces = ndimage.label(label_map == number, structure=touching)
        if n_pieces > 1:
            largest = 1 + int(np.bincount(pieces.ravel())[1:].argmax())
            cleaned[(pieces > 0) & (pieces != largest)] = 0
    return cleaned


def fill_holes(label_map: LabelMap, numbers: Iterable[int]) -> LabelMap:
    """A copy of the label map in which background that one of `numbers` encloses belongs to it.

    Enclosed is what can't be left through faces. Other structures are never painted over, whether they lie in
    the hole or not.

    Args:
        label_map: shape (x, y) or (x, y, z).
        numbers: the label values to fill; others are left as they are.

    >>> fill_holes(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]]), [1]).sum()
    np.int64(9)
    """
    filled = label_map.copy()
    for number in numbers:
        # By pieces of what is outside: scipy's binary_fill_holes takes many times as long on a photograph.
        pieces, n_pieces = ndimage.label(label_map != number)
        is_hole = np.ones(n_pieces + 1, bool)
        is_hole[0] = False
        for axis in range(label_map.ndim):
            for end in (0, -1):
                is_hole[np.unique(pieces.take(end, axis))] = False
        filled[is_hole[pieces] & (label_map == 0)] = number
    return filled


class _Cleaned(MapTransform):
    """A function of one label map and some numbers, on label maps of shape (1, x, y[, z])."""

    def __init__(
        self, keys: KeysCollection, labels: Mapping[str, int], allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.numbers = [number for number in labels.values() if number != 0]

    def cleaned(self, label_map: LabelMap) -> LabelMap:
        """Another label map of the same shape."""
        raise NotImplementedError

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The case with every label map cleaned; its place in space is kept."""
        case = dict(data)
        for key in self.key_iterator(case):
            cleaned = torch.as_tensor(self.cleaned(torch.as_tensor(case[key][0]).cpu().numpy()))
            case[key] = case[key].clone()
            case[key][0] = cleaned.to(case[key].device)
        return case


class FillHolesd(_Cleaned):
    """`fill_holes` as a step of a bundle's post-processing, on label maps of shape (1, x, y[, z]).

    Args:
        keys: of the label maps.
        labels: the bundle's name to number; the number 0 is the background.
    """

    def cleaned(self, label_map: LabelMap) -> LabelMap:
        """The label map without holes."""
        return fill_holes(label_map, self.numbers)


class KeepLargestd(_Cleaned):
    """`keep_largest` as a step of a bundle's post-processing, on label maps of shape (1, x, y[, z]).

    Args:
        keys: of the label maps.
        labels: the bundle's name to number; the number 0 is the background.
    """

    def cleaned(self, label_map: LabelMap) -> LabelMap:
        """The label map with one piece of each structure."""
        return keep_largest(label_map, self.numbers)
