"""The scores of coded label maps: what an engine measures, and by a definition what that is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any, Literal

from medseg.arrays import Mask, Spacing
from medseg.metrics.coding import Coded
from medseg.metrics.definitions import Definition
from medseg.metrics.measures import Agreement
from medseg.metrics.scores import CaseScore, Grid, StructureScore, overall_scores, structure_score

Tolerances = Mapping[str, Sequence[float]] | Sequence[float]
Engine = Literal["numba", "scipy"]


@dataclass(frozen=True)
class Method:
    """How a case is scored.

    Attributes:
        how: the definition.
        tolerances_mm: of NSD, for all structures or by name; the definition's own where None.
        engine: ``numba``, or ``scipy`` for the reference path with the same numbers.
    """

    how: Definition
    tolerances_mm: Tolerances | None = None
    engine: Engine = "numba"

    def tolerances_of(self, name: str, spacing_mm: Spacing) -> tuple[float, ...]:
        """The tolerances of one structure in mm; the definition's own where none is given for it."""
        given = self.tolerances_mm
        if isinstance(given, Mapping):
            given = given.get(name, given.get("*"))
        if given is None:
            # panoptica's own default is the smallest spacing.
            given = self.how.tolerances_mm or (min(spacing_mm),)
        return tuple(float(t) for t in given)


def score_coded(
    blocks: Sequence[tuple[Coded, Coded, tuple[str, ...]]],
    spacing_mm: Spacing,
    method: Method,
    ignored: Mask | None,
) -> tuple[CaseScore, tuple[int, int]]:
    """The scores of coded pairs, each with the names of its bits, and how many voxels no structure names."""
    how, shape = method.how, blocks[0][1].codes.shape
    spacing = tuple(spacing_mm) if how.spacing_mm is None else (how.spacing_mm,) * len(shape)
    kept, flags = _kept_axes(shape, how)
    grid, spacing_kept = Grid(shape, spacing), tuple(spacing[a] for a in kept)
    ignored_kept = None if ignored is None else ignored.squeeze(_dropped(len(shape), kept))
    scores: list[StructureScore] = []
    agreements: list[Agreement] = []
    for prediction, reference, names in blocks:
        tolerances = [method.tolerances_of(name, spacing) for name in names]
        measures, agreement = _engine(method.engine).measure_all(
            _squeezed(prediction, kept),
            _squeezed(reference, kept),
            len(names),
            spacing_kept,
            voxels=how.needs_distances and how.surface == "voxels",
            elements=how.needs_distances and (how.surface == "elements" or how.has("nsd_surfel")),
            ignored=ignored_kept,
        )
        agreements.append(agreement)
        for s, (name, measure, tolerance) in enumerate(zip(names, measures, tolerances, strict=True)):
            lesions: Any = ({}, ())
            if how.lesions is not None:
                masks = [_squeezed(c, kept).mask(s) for c in (prediction, reference)]
                lesions = _lesions(masks, spacing_kept, how, ignored_kept)
            scores.append(structure_score(name, measure, how, grid, tolerance, lesions))
    overall = overall_scores(scores, agreements[0] if len(agreements) == 1 else None)
    n_unnamed = max(a.n_unnamed[0] for a in agreements), max(a.n_unnamed[1] for a in agreements)
    return CaseScore(tuple(scores), overall, flags), n_unnamed


def _lesions(
    masks: Sequence[Mask], spacing_mm: Spacing, how: Definition, ignored: Mask | None
) -> tuple[Mapping[str, float], list[dict[str, Any]]]:
    """The lesion-wise metrics of one structure and its lesions, both empty where the definition has none."""
    from medseg.metrics.lesions import lesion_scores

    prediction, reference = masks if ignored is None else [m & ~ignored for m in masks]
    found, lesions = lesion_scores(prediction, reference, spacing_mm, how)
    return found, [asdict(lesion) for lesion in lesions]


def _engine(name: Engine) -> ModuleType:
    if name == "scipy":
        from medseg.metrics import kdtree

        return kdtree
    from medseg.metrics import fast

    return fast


def _kept_axes(shape: tuple[int, ...], how: Definition) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The axes that surfaces run along; without those of one voxel where the definition squeezes."""
    long = [a for a, n in enumerate(shape) if n > 1]
    if not how.squeezes or len(long) == len(shape) or len(shape) < 3:
        return tuple(range(len(shape))), ()
    spare = [a for a in range(len(shape)) if a not in long]
    kept = sorted(long + spare[: max(0, 2 - len(long))])
    return tuple(kept), ("squeezed",)


def _squeezed(coded: Coded, kept: tuple[int, ...]) -> Coded:
    return Coded(coded.codes.squeeze(_dropped(coded.codes.ndim, kept)), coded.values, coded.bits)


def _dropped(n_axes: int, kept: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a for a in range(n_axes) if a not in kept)
