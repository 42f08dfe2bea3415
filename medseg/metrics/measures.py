"""What an engine measures on one structure, before any definition turns it into numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Distances: TypeAlias = npt.NDArray[np.float64]
"""Millimetres from each point of one surface to the nearest point of the other, shape (n,)."""


@dataclass(frozen=True)
class SurfaceDistances:
    """Both directed sets of distances between two surfaces, in no particular order.

    Attributes:
        from_reference: from each point of the reference's surface to the prediction's, mm, shape (n,).
        from_prediction: from each point of the prediction's surface to the reference's, mm, shape (m,).
        reference_weights: area (mm2) or length (mm) of each reference point, or None where all are equal.
        prediction_weights: the same for the prediction.
    """

    from_reference: Distances
    from_prediction: Distances
    reference_weights: Distances | None = None
    prediction_weights: Distances | None = None


@dataclass(frozen=True)
class Measure:
    """Counts, centres and surface distances of one structure.

    Attributes:
        n_reference: voxels of the reference; voxels of the ignore label are in none of the counts.
        n_prediction: voxels of the prediction.
        n_both: voxels of both.
        n_voxels: voxels that count at all.
        centre_reference: centre of mass in mm along the array's axes; empty where there is no voxel.
        centre_prediction: the same for the prediction.
        surface: distances between boundary voxels; None where a mask is empty or nobody asked.
        elements: distances between surface elements; None as above.
    """

    n_reference: int
    n_prediction: int
    n_both: int
    n_voxels: int
    centre_reference: tuple[float, ...] = ()
    centre_prediction: tuple[float, ...] = ()
    surface: SurfaceDistances | None = None
    elements: SurfaceDistances | None = None

    @property
    def status(self) -> str:
        """``ok``, ``both_empty``, ``missed`` or ``false_alarm``."""
        if self.n_reference and self.n_prediction:
            return "ok"
        if self.n_reference:
            return "missed"
        return "false_alarm" if self.n_prediction else "both_empty"


@dataclass(frozen=True)
class Agreement:
    """How often two label maps name the same class, background included.

    Attributes:
        n_voxels: voxels that count.
        n_equal: voxels of the same class.
        by_chance: share of voxels that would be equal by chance (Cohen 1960): sum of products of marginals.
        n_unnamed: voxels of (prediction, reference) with a label that belongs to no structure.
    """

    n_voxels: int
    n_equal: int
    by_chance: float
    n_unnamed: tuple[int, int]

    @property
    def accuracy(self) -> float:
        """Share of voxels of the same class; nan where no voxel counts."""
        return self.n_equal / self.n_voxels if self.n_voxels else float("nan")

    @property
    def kappa(self) -> float:
        """Cohen's kappa over all classes; nan where chance alone explains everything."""
        return (self.accuracy - self.by_chance) / (1 - self.by_chance) if self.by_chance < 1 else float("nan")
