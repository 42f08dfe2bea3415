"""Masks of structures painted into one label map; where two overlap, the smaller one keeps the voxels."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from medseg.arrays import LabelMap


class Painting:
    """A label map in the making, and the voxels that two structures both claimed.

    The result does not depend on the order in which masks come: a tumour inside a liver stays whole.

    Attributes:
        labels: the label map so far.
        overlaps: voxels that two numbers claimed, by the pair, the one that kept them first.
        sizes: voxels of each mask as it came.
    """

    def __init__(self, shape: tuple[int, ...], largest: int) -> None:
        kind = np.uint8 if largest < 2**8 else np.uint16
        self.labels: LabelMap = np.zeros(shape, kind)
        self.overlaps: Counter[tuple[int, int]] = Counter()
        self.sizes: dict[int, int] = {}

    def add(self, number: int, mask: npt.NDArray[np.bool_]) -> None:
        """Paint one structure, shape as the label map's."""
        size = self.sizes[number] = int(np.count_nonzero(mask))
        held = np.where(mask, self.labels, 0)
        for other in np.unique(held[held > 0]):
            both = held == other
            keeps = (size, number) < (self.sizes[int(other)], int(other))
            self.overlaps[(number, int(other)) if keeps else (int(other), number)] += int(both.sum())
            if not keeps:
                mask = mask & ~both
        self.labels[mask] = number
