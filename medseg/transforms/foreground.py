"""Where the structures are, found once, so that a crop needn't look at the whole label map at each visit."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from medseg.transforms.tensors import plain


class ForegroundPointsd(MapTransform):
    """Adds ``KEY_points``: for each label value up to `n_points` voxels that have it, spread over all of it.

    Belongs to the preprocessing, which is cached. The points are an int32 array of shape (values, n, axes);
    where a structure is smaller than n voxels they repeat. An empty label map gives shape (0, n, axes). A map
    of several channels, one per region, gives points for each channel.

    Args:
        keys: label maps of shape (channel, x, y[, z]); a missing one is passed over.
        n_points: per label value.
    """

    def __init__(self, keys: KeysCollection, n_points: int = 4096) -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.n_points = n_points

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The case with its points."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[f"{key}_points"] = points_of(plain(item[key]).numpy(), self.n_points)
        return item


def points_of(label: np.ndarray, n_points: int) -> torch.Tensor:
    """Voxels of each value above 0, evenly taken from all in their order: int32, (values, n_points, axes)."""
    maps = [channel > 0 for channel in label] if label.shape[0] > 1 else _per_value(label[0])
    found = []
    for mask in maps:
        where = np.flatnonzero(mask)
        if where.size:
            taken = where[np.linspace(0, where.size - 1, n_points).round().astype(np.int64)]
            found.append(np.stack(np.unravel_index(taken, mask.shape), axis=1))
    shape = (0, n_points, label.ndim - 1)
    return torch.from_numpy(np.stack(found).astype(np.int32) if found else np.zeros(shape, np.int32))


def _per_value(label: np.ndarray) -> list[np.ndarray]:
    return [label == value for value in np.unique(label) if value > 0]
