"""One case in, every number out: the front door of `medseg.metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.arrays import Spacing
from medseg.errors import GeometryError, LabelError
from medseg.labels import Structure
from medseg.labels import structures as structures_of
from medseg.metrics.coded_scoring import Engine, Method, Tolerances, score_coded
from medseg.metrics.coding import MAX_STRUCTURES, code_channels, code_labels, same_width, unknown_labels
from medseg.metrics.definitions import Definition, definition
from medseg.metrics.scores import CaseScore

Structures = Sequence[Structure] | Mapping[str, "int | Iterable[int]"]
_CHANNELS_PER_BLOCK = 8
"""Each set of overlapping masks is a class of the joint counts: 256 classes; 16 masks would make 65536."""


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
