"""Masks that the tests share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Labels = npt.NDArray[np.uint8]


def cube(shape: tuple[int, ...], low: tuple[int, ...], high: tuple[int, ...], label: int = 1) -> Labels:
    """A box of one label, from `low` to before `high`."""
    out = np.zeros(shape, np.uint8)
    out[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = label
    return out


def points(shape: tuple[int, ...], *where: tuple[int, ...]) -> Labels:
    """Single voxels."""
    out = np.zeros(shape, np.uint8)
    for at in where:
        out[at] = 1
    return out


def blobs(shape: tuple[int, ...], seed: int, level: float = 0.03, smooth: float = 2.0) -> Labels:
    """Smooth random shapes."""
    noise = np.random.default_rng(seed).normal(size=shape)
    return (ndimage.gaussian_filter(noise, smooth) > level).astype(np.uint8)
