"""How lesions were found, by structure and size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from medseg.report.scores import Lesion

SIZES_ML = (0.1, 1.0)
"""Borders between small, medium and large lesions."""


@dataclass(frozen=True)
class LesionRow:
    """The lesions of one structure and size; invented ones are classed by their own size."""

    structure: str
    size: str
    n_reference: int
    n_found: int
    n_missed: int
    n_invented: int
    sensitivity: float
    dice: float


def lesion_rows(lesions: Sequence[Lesion]) -> list[LesionRow]:
    """A row per structure and size class that has a lesion, and one for all; too small ones are left out."""
    found = []
    lesions = [lesion for lesion in lesions if lesion.kind != "too_small"]
    for structure in dict.fromkeys(lesion.structure for lesion in lesions):
        own = [lesion for lesion in lesions if lesion.structure == structure]
        found.append(_row(structure, "all", own))
        for size in _classes():
            members = [lesion for lesion in own if _class(lesion) == size]
            if members:
                found.append(_row(structure, size, members))
    return found


def _row(structure: str, size: str, lesions: Sequence[Lesion]) -> LesionRow:
    kinds = [lesion.kind for lesion in lesions]
    dice = [lesion.dice for lesion in lesions if lesion.kind == "found"]
    n_found, n_missed = kinds.count("found"), kinds.count("missed")
    n_reference = n_found + n_missed
    return LesionRow(
        structure=structure,
        size=size,
        n_reference=n_reference,
        n_found=n_found,
        n_missed=n_missed,
        n_invented=kinds.count("invented"),
        sensitivity=n_found / n_reference if n_reference else math.nan,
        dice=sum(dice) / len(dice) if dice else math.nan,
    )


def _classes() -> tuple[str, str, str]:
    low, high = SIZES_ML
    return (f"under {low:g} ml", f"{low:g} to {high:g} ml", f"over {high:g} ml")


def _class(lesion: Lesion) -> str:
    size = lesion.prediction_ml if math.isnan(lesion.reference_ml) else lesion.reference_ml
    small, medium, large = _classes()
    return small if size < SIZES_ML[0] else medium if size <= SIZES_ML[1] else large
