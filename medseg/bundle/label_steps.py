"""Label maps from the engine's blocks, and as a bundle's own steps leave them: whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from medseg.errors import GeometryError
from medseg.inference.engine import Block, label_volume


def region_maps(blocks: Iterator[Block], shape: tuple[int, ...], n_regions: int) -> np.ndarray:
    """One map of 0 and 1 per region, shape (x, y, z, region)."""
    codes = label_volume(blocks, shape, np.uint16)
    return np.stack([codes >> bit & 1 for bit in range(n_regions)], -1).astype(np.uint8)


def after_steps(
    steps: Iterable[Callable[[Any], Any]], labels: np.ndarray, meta: dict[str, Any], key: str
) -> np.ndarray:
    """The label map after steps that work on label maps of the scan.

    Args:
        steps: dictionary transforms.
        labels: shape of the scan, or (x, y, z, n) for n maps.
        meta: the scan's.
        key: under which the steps find the label map.

    Raises:
        GeometryError: they leave scores.
    """
    is_maps = labels.ndim > len(meta["spatial_shape"])
    first = np.moveaxis(labels, -1, 0) if is_maps else labels[None]
    item = {key: MetaTensor(torch.from_numpy(first.astype(np.int32)), meta=meta)}
    for step in steps:
        item = step(item)
    return whole_numbers(item[key])


def whole_numbers(pred: torch.Tensor) -> np.ndarray:
    """Labels as whole numbers, one channel dropped and several put last.

    Raises:
        GeometryError: there is a value that is no whole number.
    """
    labels = np.asarray(torch.as_tensor(pred).cpu())
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.round(labels)):
        odd = labels[labels != np.round(labels)]
        raise GeometryError(
            f"scores where labels should be, as {odd[0]:.4g}",
            "postprocessing that ends in whole numbers",
            "end it with AsDiscreted; where Invertd comes after that, give it nearest_interp: true, or it "
            "interpolates between labels",
        )
    whole = labels.astype(np.int64)
    return whole[0] if whole.shape[0] == 1 else np.moveaxis(whole, 0, -1)
