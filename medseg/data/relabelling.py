"""The values in a data set's files as the numbers that its manifest declares (`relabel`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.data.label_maps import LabelMapFile


def usable(relabel: Mapping[int, int], declared: Collection[int]) -> dict[int, int]:
    """The part of a manifest's `relabel` that holds where `declared` numbers are wanted.

    Only a declared number is a target: where a bundle trains on the files' own numbers (BraTS' 4), the
    manifest's suggestion to read them as others (4 as 3) counts for nothing.

    >>> usable({4: 3}, [1, 2, 3]), usable({4: 3}, [1, 2, 4])
    ({4: 3}, {})
    """
    return {old: new for old, new in relabel.items() if new in declared or new == 0}


def renamed(array: npt.NDArray[Any], changes: Mapping[int, int]) -> npt.NDArray[Any]:
    """The array with each value changed once, all at the same time; the array itself where none occurs.

    >>> renamed(np.array([2, 5, 9], np.uint8), {2: 1, 5: 2, 9: 3})
    array([1, 2, 3], dtype=uint8)
    """
    places = {old: array == old for old in changes}
    there = [old for old, here in places.items() if here.any()]
    if not there:
        return array
    changed = array.astype(np.result_type(array.dtype, *(np.min_scalar_type(changes[old]) for old in there)))
    for old in there:
        changed[places[old]] = changes[old]
    return changed


def as_declared(
    label_map: LabelMapFile, relabel: Mapping[int, int], declared: Collection[int]
) -> LabelMapFile:
    """A reference label map in declared numbers: `relabel`, and 255 as 1 in pictures of 0 and 255 alone."""
    changes = usable(relabel, declared)
    changed = renamed(label_map.array, changes)
    if changed is not label_map.array:
        return replace(label_map, array=changed)
    return white_as_one(label_map, declared)


def as_predicted(
    label_map: LabelMapFile, relabel: Mapping[int, int], declared: Collection[int]
) -> LabelMapFile:
    """As `as_declared`, for a prediction: a value that is declared stays.

    A prediction, unlike a reference, mostly holds declared numbers; other tools write the files' own ones.
    """
    own = {old: new for old, new in relabel.items() if old not in declared}
    return as_declared(label_map, own, declared)


def white_as_one(label_map: LabelMapFile, declared: Collection[int]) -> LabelMapFile:
    """A picture of 0 and 255 alone with 1 for 255 where that is declared and 255 isn't, flagged so."""
    array = label_map.array
    is_mask = label_map.affine is None and 255 not in declared and 1 in declared
    if not is_mask or not (array == 255).any() or ((array != 0) & (array != 255)).any():
        return label_map
    flags = (*label_map.flags, "255_read_as_1")
    return replace(label_map, array=renamed(array, {255: 1}), flags=flags)
