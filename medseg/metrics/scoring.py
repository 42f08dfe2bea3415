"""One case in, every number out: the front door of `medseg.metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medseg.arrays import Mask, Spacing
from medseg.errors import GeometryError, LabelError
from medseg.labels import Structure
from medseg.labels import structures as structures_of
from medseg.metrics.coding import (
    MAX_STRUCTURES,
    Coded,
    code_channels,
    code_labels,
    same_width,
    unknown_labels,
)
from medseg.metrics.definitions import Definition, definition
from medseg.metrics.measures import Agreement
from medseg.metrics.scores import CaseScore, Grid, StructureScore, overall_scores, structure_score

Tolerances = Mapping[str, Sequence[float]] | Sequence[float]
Engine = Literal["numba", "scipy"]
Structures = Sequence[Structure] | Mapping[str, "int | Iterable[int]"]
_CHANNELS_PER_BLOCK = 8
"""Each set of overlapping masks is a class of the joint counts: 256 classes; 16 masks would make 65536."""


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


def score(
    prediction: npt.NDArray[np.integer[Any]],
    reference: npt.NDArray[np.integer[Any]],
    structures: Structures,
    spacing_mm: Spacing,
    *,
    how: Definition | str = "medseg/1",
    tolerances_mm: Tolerances | None = None,
    ignore_label: int | None = None,
    engine: Engine = "numba",
) -> CaseScore:
    """Every metric of a predicted label map against its reference.

    Args:
        prediction: integers, shape (x, y) or (x, y, z), on the reference's grid.
        reference: integers of the same shape.
        structures: a name with one number, or several numbers for a region; regions may overlap.
        spacing_mm: millimetres per voxel along each axis of the arrays.
        how: a definition, or the name of a preset.
        tolerances_mm: of NSD, for all structures or by name (``*`` for the others); the definition's own
            where None.
        ignore_label: voxels with this number in the reference count for nothing.
        engine: ``numba``, or ``scipy`` for the reference path with the same numbers.

    Raises:
        GeometryError: shapes differ, or the spacing does not fit.
        LabelError: an array does not hold integers, or no structure is named.

    >>> import numpy as np
    >>> box = np.zeros((8, 8, 8), np.uint8)
    >>> box[2:5, 2:5, 2:5] = 1
    >>> found = score(np.roll(box, 1, axis=0), box, {"box": 1}, (2.0, 1.0, 1.0))["box"].metrics
    >>> found["hausdorff_mm"], round(found["dice"], 3)
    (2.0, 0.667)
    """
    wanted = structures_of(structures) if isinstance(structures, Mapping) else tuple(structures)
    if not wanted:
        raise LabelError("no structure to score", "a name and a number", "say for example liver=1")
    prediction, reference = _integers(prediction), _integers(reference)
    _one_grid(prediction.shape, reference.shape, spacing_mm)
    method = Method(definition(how) if isinstance(how, str) else how, tolerances_mm, engine)
    ignored = None if ignore_label is None else reference == ignore_label
    declared = {n for s in wanted for n in s.numbers} | {0, *([] if ignore_label is None else [ignore_label])}
    given = prediction, reference
    if ignored is not None and method.how.ignore == "zero":
        prediction, reference = (np.where(ignored, a.dtype.type(0), a) for a in (prediction, reference))
        ignored = None
    blocks = []
    for i in range(0, len(wanted), MAX_STRUCTURES):
        part = wanted[i : i + MAX_STRUCTURES]
        coded = same_width(code_labels(prediction, part), code_labels(reference, part))
        blocks.append((*coded, tuple(s.name for s in part)))
    found, n_unnamed = score_coded(blocks, spacing_mm, method, ignored)
    unknown = {
        name: unknown_labels(array, declared) if n else {}
        for name, array, n in zip(("prediction", "reference"), given, n_unnamed, strict=True)
    }
    return CaseScore(found.structures, found.overall, found.flags, unknown)


def score_channels(
    prediction: npt.NDArray[Any],
    reference: npt.NDArray[Any],
    names: Sequence[str],
    spacing_mm: Spacing,
    *,
    how: Definition | str = "medseg/1",
    tolerances_mm: Tolerances | None = None,
    engine: Engine = "numba",
) -> CaseScore:
    """Every metric of masks that may overlap, one channel each, shape (channel, x, y) or (channel, x, y, z).

    Non-zero is inside. See `score` for the rest.

    Raises:
        GeometryError: shapes differ, or the names or the spacing do not fit.
    """
    if prediction.shape != reference.shape or len(names) != len(reference) or not names:
        raise GeometryError(
            f"channels of shape {prediction.shape} and {reference.shape} for {len(names)} names",
            "one shape and a name per channel",
            "stack the masks on the first axis",
        )
    _one_grid(prediction.shape[1:], reference.shape[1:], spacing_mm)
    method = Method(definition(how) if isinstance(how, str) else how, tolerances_mm, engine)
    blocks = []
    for i in range(0, len(names), _CHANNELS_PER_BLOCK):
        part = slice(i, i + _CHANNELS_PER_BLOCK)
        coded = same_width(code_channels(prediction[part]), code_channels(reference[part]))
        blocks.append((*coded, tuple(names[part])))
    return score_coded(blocks, spacing_mm, method, None)[0]


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


def _one_grid(prediction: tuple[int, ...], reference: tuple[int, ...], spacing_mm: Spacing) -> None:
    if prediction != reference or len(spacing_mm) != len(reference) or len(reference) not in (2, 3):
        raise GeometryError(
            f"a prediction of shape {prediction}, a reference of shape {reference} and spacing {spacing_mm}",
            "one shape of two or three axes and a spacing per axis",
            "bring both to one grid",
        )
    if not all(np.isfinite(s) and s > 0 for s in spacing_mm):
        raise GeometryError(
            f"spacing {spacing_mm}", "positive millimetres", "read the spacing from the header"
        )


def _integers(label_map: npt.NDArray[Any]) -> npt.NDArray[np.integer[Any]]:
    array = np.asarray(label_map)
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    if array.dtype.kind not in "iu":
        raise LabelError(f"labels of type {array.dtype}", "integers", "threshold or round them first")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
