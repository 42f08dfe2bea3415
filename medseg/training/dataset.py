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
        # `if self.augmentation` would ask a Compose for its length, for which MONAI 1.6.1 builds a new one,
        # which seeds the shared transforms again: the same "chance" at every visit.
        return case if self.augmentation is None else self.augmentation(copy.deepcopy(case))
