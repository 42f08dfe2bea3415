"""Cases held in memory after their deterministic transforms; chance comes afterwards, at each visit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from monai.data import CacheDataset


class CachedDataset(CacheDataset):
    """Preprocessed once, augmented anew at each visit.

    Args:
        data: one dictionary per case, as `datalist` gives them.
        transform: the deterministic preprocessing, run once per case.
        augmentation: what is left to chance, run at each visit on a copy.
    """

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        transform: Callable[[Any], Any],
        augmentation: Callable[[Any], Any] | None = None,
    ) -> None:
        self.augmentation = augmentation
        super().__init__(data=data, transform=transform, num_workers=0, progress=False)

    def _transform(self, index: int) -> Any:
        case = super()._transform(index)
        return self.augmentation(copy.deepcopy(case)) if self.augmentation else case
