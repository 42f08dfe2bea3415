"""Overlapping regions as channels: what a network of one sigmoid per region is trained on."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from medseg.errors import LabelError
from medseg.transforms.tensors import like, plain


class LabelsToRegionsd(MapTransform):
    """Makes of each label map one channel of 0 and 1 per region, in the order of `regions`.

    MONAI's ``ConvertToMultiChannelBasedOnBratsClassesd`` knows the numbers of BraTS 2018 alone and takes any
    other number for background.

    Args:
        keys: label maps of shape (1, x, y[, z]); the result has shape (regions, x, y[, z]).
        regions: name to number or numbers.

    Raises:
        LabelError: when called, a number that belongs to no region and isn't 0.
    """

    def __init__(
        self,
        keys: KeysCollection,
        regions: Mapping[str, int | Iterable[int]],
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.numbers = [[n] if isinstance(n, int) else list(n) for n in regions.values()]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The case with its regions; their place in space is that of the label map."""
        case = dict(data)
        for key in self.key_iterator(case):
            label, before = plain(case[key])[0], case[key]
            self._check(label)
            maps = [torch.isin(label, torch.tensor(ns, dtype=label.dtype)) for ns in self.numbers]
            case[key] = like(torch.stack(maps).to(torch.uint8), before)
        return case

    def _check(self, label: torch.Tensor) -> None:
        known = {0, *(n for ns in self.numbers for n in ns)}
        strange = sorted({float(v) for v in torch.unique(label)} - {float(n) for n in known})
        if strange:
            raise LabelError(
                f"label values {', '.join(f'{v:g}' for v in strange[:5])} in no region",
                f"only {', '.join(map(str, sorted(known)))}",
                "add them to `regions`, or take the case out",
            )
