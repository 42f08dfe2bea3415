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


def lesions(seed: int) -> tuple[Labels, Labels]:
    """A prediction and a reference of many pieces: most of them found, some moved, missed or invented."""
    rng = np.random.default_rng(seed)
    reference, prediction = np.zeros((40, 36, 24), np.uint8), np.zeros((40, 36, 24), np.uint8)
    for _ in range(14):
        low = rng.integers(0, 18, 3) * (2, 2, 1)
        size = rng.integers(1, 6, 3)
        box = tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))
        moved = tuple(slice(s.start + 1, s.stop + 2) for s in box)
        fate = rng.integers(4)
        if fate != 3:
            reference[box] = 1
        if fate != 2:
            prediction[moved if fate == 1 else box] = 1
    return prediction, reference


def pair(masks: str, seed: int) -> tuple[Labels, Labels]:
    """The prediction and the reference that the recorded numbers of other tools are of."""
    if masks == "lesions":
        return lesions(seed)
    shape = {"blobs": (18, 16, 14), "flat": (30, 28), "slice": (30, 28, 1)}.get(masks, (12, 10, 9))
    if masks in ("blobs", "flat", "slice"):
        flat = shape[:2] if masks == "slice" else shape
        return blobs(flat, seed).reshape(shape), blobs(flat, seed + 9).reshape(shape)
    box = cube(shape, (2, 2, 2), (7, 7, 7))
    one, other = {"missed": (0, 1), "false_alarm": (1, 0), "both_empty": (0, 0)}[masks]
    return box * np.uint8(one), box * np.uint8(other)
