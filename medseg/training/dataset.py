"""Cases prepared once and checked; chance comes afterwards, at each visit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from monai.data.utils import set_rnd
from torch.utils.data import Dataset

from medseg.training.cache import CaseCache
from medseg.training.inspection import prepared, without_label
from medseg.training.references import untouched
from medseg.training.sampling import Visit


class CachedDataset(Dataset[Any]):
    """Preprocessed and checked once, augmented anew at each visit.

    All cases are prepared when the data set is made, so that a faulty one is named before the first step.
    They stay in memory, or with `cache_dir` in files that are mapped into memory: shared by all
    processes, ready for the next run, and made anew when a source file or a transform's argument changes
    (see `CaseCache`).

    Args:
        data: one dictionary per case, as `datalist` gives them.
        transform: the deterministic preprocessing, run once per case.
        augmentation: what is left to chance, run at each visit on a copy.
        labels: the numbers that a label map may hold, by name; None doesn't look at labels.
        cache_dir: where prepared cases are kept; None keeps them in memory.
        cache_gb: the most they may take; what doesn't fit is prepared anew at each visit.
        label_untouched: the label map goes through no transform: it is read from its file at each visit and
            stays on the voxels of the scan's file (see `untouched`). For validation, which then scores what
            `medseg evaluate` scores, if its post-processing brings predictions there.

    Raises:
        LabelError: a label map holds a value that isn't declared.
        DataError: an image holds a value that isn't finite, or a file can't be read.
    """

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        transform: Callable[[Any], Any],
        augmentation: Callable[[Any], Any] | None = None,
        *,
        labels: Mapping[str, int | Iterable[int]] | None = None,
        cache_dir: str | None = None,
        cache_gb: float = 16.0,
        label_untouched: bool = False,
    ) -> None:
        self.data, self.transform, self.augmentation, self.labels = data, transform, augmentation, labels
        self.label_untouched = label_untouched
        self.cache = CaseCache(
            cache_dir, limit_bytes=int(cache_gb * 1e9), recipe=(transform, labels, label_untouched)
        )
        for row in data:
            self._case(row)

    def __len__(self) -> int:
        """The number of cases."""
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        """One case, augmented; a `Visit` brings the seed of its chance along."""
        row = self.data[index]
        case = self._case(row)
        if self.label_untouched and "label" in row:
            # Read anew: kept in memory it would take more than the image, and inflating it takes no time.
            case["label"] = untouched(row, case.get("image"), self.labels)
        # `if self.augmentation` would ask a Compose for its length, for which MONAI 1.6.1 builds a new one,
        # which seeds the shared transforms again: the same "chance" at every visit.
        if self.augmentation is None:
            return case
        if isinstance(index, Visit):
            set_rnd(self.augmentation, index.seed % 2**31)
        return self.augmentation(case)

    def _case(self, row: dict[str, Any]) -> dict[str, Any]:
        # A first step that copies what it needs (a crop) spares the copy of the whole case.
        first = next(iter(getattr(self.augmentation, "transforms", [self.augmentation])), None)
        shared = getattr(first, "copies", False)
        prepare = without_label if self.label_untouched else prepared
        return self.cache.get(row, lambda: prepare(row, self.transform, self.labels), shared=shared)
