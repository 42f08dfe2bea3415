"""Overlapping regions back to one label map, as the challenges want it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from medseg.errors import LabelError


def painted(regions: torch.Tensor, numbers: Sequence[int]) -> torch.Tensor:
    """One label map of shape (1, x, y[, z]) from regions of shape (regions, x, y[, z]).

    Each region is painted with its number over those before it, so they go from the outside to the inside.

    >>> painted(torch.tensor([[1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 0]]), [2, 1, 4])
    tensor([[2, 1, 4, 0]])
    """
    label_map = torch.zeros_like(regions[:1])
    for region, number in zip(regions, numbers, strict=True):
        label_map[0][region > 0] = number
    return label_map


class RegionsToLabelsd(MapTransform):
    """`painted` as a step of a bundle's post-processing; BraTS is painted WT, TC, ET with 2, 1, 4 (or 3).

    Args:
        keys: of the regions, 0 and 1, shape (regions, x, y[, z]).
        numbers: region to the number it is painted with, from the outside to the inside.

    Raises:
        LabelError: when called, another number of channels than of regions.
    """

    def __init__(
        self, keys: KeysCollection, numbers: Mapping[str, int], allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.numbers = dict(numbers)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The case with label maps; their place in space is kept."""
        case = dict(data)
        for key in self.key_iterator(case):
            if len(case[key]) != len(self.numbers):
                raise LabelError(
                    f"{len(case[key])} channels for the regions {', '.join(self.numbers)}",
                    "a channel for each region",
                    "correct `numbers` or the network's out_channels",
                )
            case[key] = painted(case[key], list(self.numbers.values()))
        return case
