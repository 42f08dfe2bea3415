"""The plain tensor behind whatever a dictionary holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor


def plain(value: Any) -> torch.Tensor:
    """The voxels without MONAI's bookkeeping, which costs more than many a transform; not copied."""
    if isinstance(value, MetaTensor):
        return value.as_tensor()
    return value if isinstance(value, torch.Tensor) else torch.from_numpy(np.asarray(value))


def like(values: torch.Tensor, before: Any) -> torch.Tensor:
    """`values` with the affine and meta data of what they were made from, if it had any."""
    if isinstance(before, MetaTensor):
        return MetaTensor(values, meta=before.meta, applied_operations=before.applied_operations)
    return values
