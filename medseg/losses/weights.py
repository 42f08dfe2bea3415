"""Class weights from the data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from medseg.errors import LabelError, MedsegError


def class_weights(counts: Sequence[float], power: float = 1.0) -> list[float]:
    """One weight per class, (1 / share of the voxels)^power, with a mean of one over the classes that occur.

    Args:
        counts: voxels per class, the background first. A class without voxels gets weight 0, because a mean
            over nothing has none.
        power: 1 gives each class the same total; 1/2 is the usual milder choice; 0 gives ones.

    Raises:
        MedsegError: a negative count, or no voxel at all.

    >>> class_weights([300, 100])
    [0.5, 1.5]
    """
    if not counts or min(counts) < 0 or sum(counts) <= 0 or not all(map(math.isfinite, counts)):
        raise MedsegError(f"voxel counts {list(counts)}", "counts of zero or more, some above", "count again")
    raw = [(sum(counts) / c) ** power if c > 0 else 0.0 for c in counts]
    mean = sum(raw) / sum(r > 0 for r in raw)
    return [r / mean for r in raw]


def count_voxels(label_maps: Iterable[Any], n_classes: int, ignore_label: int | None = None) -> list[int]:
    """Voxels of each class 0 to n_classes - 1 over all label maps (arrays or tensors of any shape).

    Raises:
        LabelError: a value that is neither a class nor `ignore_label`.
    """
    total = np.zeros(n_classes, dtype=np.int64)
    for label_map in label_maps:
        values, counts = np.unique(np.asarray(label_map), return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            if value == ignore_label:
                continue
            if value != int(value) or not 0 <= value < n_classes:
                raise LabelError(
                    f"label value {value:g}", f"0 to {n_classes - 1}", "correct the label map or n_classes"
                )
            total[int(value)] += count
    return [int(n) for n in total]


def weights_from_data(
    data: Iterable[Mapping[str, Any]],
    n_classes: int,
    *,
    key: str = "label",
    ignore_label: int | None = None,
    power: float = 1.0,
) -> list[float]:
    """`class_weights` of all label maps of a MONAI data set, for `weight` of `build` in YAML.

    ``weight: {_target_: medseg.losses.weights_from_data, data: "@train#dataset", n_classes: 3}`` reads
    every case once, before the training starts.
    """
    return class_weights(count_voxels((case[key] for case in data), n_classes, ignore_label), power)
