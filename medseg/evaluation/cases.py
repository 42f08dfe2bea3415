"""One case: two files in, a row of scores or a status that says why there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.data.geometry import ShapeMismatchError, on_reference_grid
from medseg.data.label_maps import LabelMapFile, read_label_map
from medseg.data.relabelling import as_declared, as_predicted
from medseg.errors import DataError, LabelError
from medseg.evaluation.matching import Reference
from medseg.labels import Structure
from medseg.metrics import CaseScore, Definition, StructureScore, score, score_channels
from medseg.metrics.coded_scoring import Engine, Tolerances
from medseg.metrics.scores import Grid


@dataclass(frozen=True)
class Protocol:
    """What is scored and how, the same for each case.

    Attributes:
        structures: names and numbers.
        how: the definition.
        tolerances_mm: of NSD, or None for the definition's own.
        ignore_label: of the reference, or None.
        resample: bring predictions of another grid onto the reference's.
        relabel: value in the reference files to number in `structures`.
        engine: ``numba`` or ``scipy``.
    """

    structures: tuple[Structure, ...]
    how: Definition
    tolerances_mm: Tolerances | None = None
    ignore_label: int | None = None
    resample: bool = False
    relabel: Mapping[int, int] = field(default_factory=dict)
    engine: Engine = "numba"


@dataclass(frozen=True)
class CaseResult:
    """A row of the report.

    Attributes:
        reference: which case it is.
        status: ``ok``, ``missing_prediction`` or ``error:…``.
        message: what went wrong, in one line, or empty.
        flags: ``reoriented``, ``squeezed``, ``float_labels:prediction`` and so on.
        prediction: its file, or None.
        sha256: of ``prediction`` and ``reference``, where they were read.
        grid: shape and spacing of the reference, or None where it could not be read.
        spacing_source: where the spacing comes from.
        score: the numbers, or None after an error.
    """

    reference: Reference
    status: str
    message: str = ""
    flags: tuple[str, ...] = ()
    prediction: Path | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    grid: Grid | None = None
    spacing_source: str = ""
    score: CaseScore | None = None

    @property
    def is_error(self) -> bool:
        """True where the case could not be scored at all."""
        return self.status.startswith("error")


def score_case(pair: tuple[Reference, tuple[Path, ...]], protocol: Protocol) -> CaseResult:
    """The scores of one case from its files; what is wrong with a file becomes its status."""
    reference, predictions = pair
    if len(predictions) > 1 or reference.duplicates:
        twice = predictions if len(predictions) > 1 else (reference.path, *reference.duplicates)
        names = ", ".join(p.name for p in twice)
        return CaseResult(reference, "error:duplicate", f"{len(twice)} files of one case: {names}")
    path = predictions[0] if predictions else None
    known: dict[str, Any] = {"prediction": path, "sha256": {}}
    declared = {n for s in protocol.structures for n in s.numbers}
    try:
        truth = as_declared(read_label_map(reference.path), protocol.relabel, declared)
        known |= {"sha256": {"reference": truth.sha256}, "spacing_source": _source(truth, protocol.how)}
        known["grid"] = Grid(truth.array.shape[:3], truth.spacing_mm)
        if path is None:
            return CaseResult(reference, "missing_prediction", score=_missing(truth, protocol), **known)
        found = as_predicted(read_label_map(path), protocol.relabel, declared)
        known["sha256"] = {"prediction": found.sha256, "reference": truth.sha256}
        array, moved = on_reference_grid(found, truth, protocol.resample)
        flags = [*moved, *(f"{f}:prediction" for f in found.flags), *(f"{f}:reference" for f in truth.flags)]
        scored = _score(array, truth, protocol)
    except DataError as error:
        status = f"error:{getattr(error, 'status', 'data')}"
        return CaseResult(reference, status, str(error), **known)
    flags += [*scored.flags, *_unknown_flags(scored)]
    return CaseResult(reference, "ok", flags=tuple(flags), score=scored, **known)


def _score(array: npt.NDArray[Any], truth: LabelMapFile, protocol: Protocol) -> CaseScore:
    options: dict[str, Any] = {"how": protocol.how, "tolerances_mm": protocol.tolerances_mm}
    if array.ndim == 4 or truth.n_channels:
        if protocol.ignore_label is not None:
            raise LabelError("an ignore label with channels", "a label map", "leave out --ignore-label")
        channels, true_channels = _as_channels(array, protocol), _as_channels(truth.array, protocol)
        names = [s.name for s in protocol.structures]
        return score_channels(
            channels, true_channels, names, truth.spacing_mm, engine=protocol.engine, **options
        )
    return score(
        array,
        truth.array,
        protocol.structures,
        truth.spacing_mm,
        ignore_label=protocol.ignore_label,
        engine=protocol.engine,
        **options,
    )


def _missing(truth: LabelMapFile, protocol: Protocol) -> CaseScore:
    """Scored as an empty prediction in the penalised columns alone."""
    empty = _score(np.zeros_like(truth.array), truth, protocol)
    kept = ("volume_reference_ml",)
    return CaseScore(
        tuple(
            StructureScore(
                s.name,
                "missing_prediction",
                {key: value if key in kept else nan for key, value in s.metrics.items()},
                s.penalised,
            )
            for s in empty.structures
        ),
        dict.fromkeys(empty.overall, nan),
        empty.flags,
    )


def _as_channels(array: npt.NDArray[Any], protocol: Protocol) -> npt.NDArray[Any]:
    """Channels first; a label map becomes one mask per structure."""
    if array.ndim < 4:
        return np.stack([np.isin(array, sorted(s.numbers)) for s in protocol.structures])
    if array.shape[3] != len(protocol.structures):
        raise _channel_error(array.shape, protocol)
    return np.moveaxis(array, 3, 0)


def _channel_error(shape: tuple[int, ...], protocol: Protocol) -> ShapeMismatchError:
    return ShapeMismatchError(
        f"{shape[3]} channels on the fourth axis",
        f"one per structure ({', '.join(s.name for s in protocol.structures)})",
        "name as many structures or regions as there are channels, in their order",
    )


def _source(truth: LabelMapFile, how: Definition) -> str:
    if how.spacing_mm is not None:
        return f"fixed at {how.spacing_mm:g} mm by the preset {how.name}, not the header's"
    return f"reference's {truth.spacing_source}"


def _unknown_flags(scored: CaseScore) -> list[str]:
    return [
        f"unknown_label:{of}:{value}:{n}_voxels"
        for of, values in scored.unknown.items()
        for value, n in sorted(values.items())
    ]
