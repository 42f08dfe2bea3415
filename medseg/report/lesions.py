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
    """A row per structure and size class that has a lesion, and one for all sizes."""
    found = []
    for structure in dict.fromkeys(lesion.structure for lesion in lesions):
        own = [lesion for lesion in lesions if lesion.structure == structure]
        found.append(_row(structure, "all", own))
        for size in _classes():
            members = [lesion for lesion in own if _class(lesion) == size]
            if members:
                found.append(_row(structure, size, members))
    return found


def _row(structure: str, size: str, lesions: Sequence[Lesion]) -> LesionRow:
    known = [lesion for lesion in lesions if not math.isnan(lesion.reference_ml)]
    hits = [lesion for lesion in known if not math.isnan(lesion.prediction_ml)]
    dice = [lesion.dice for lesion in hits if not math.isnan(lesion.dice)]
    return LesionRow(
        structure=structure,
        size=size,
        n_reference=len(known),
        n_found=len(hits),
        n_missed=len(known) - len(hits),
        n_invented=len(lesions) - len(known),
        sensitivity=len(hits) / len(known) if known else math.nan,
        dice=sum(dice) / len(dice) if dice else math.nan,
    )


def _classes() -> tuple[str, str, str]:
    low, high = SIZES_ML
    return (f"under {low:g} ml", f"{low:g} to {high:g} ml", f"over {high:g} ml")


def _class(lesion: Lesion) -> str:
    size = lesion.prediction_ml if math.isnan(lesion.reference_ml) else lesion.reference_ml
    small, medium, large = _classes()
    return small if size < SIZES_ML[0] else medium if size <= SIZES_ML[1] else large
