"""The table that a report is drawn from: every case, every structure, every score, and how they were made.

Plain values, so that whoever has scores from anywhere can have the page; `medseg.report.reading` fills it
from the files of ``medseg evaluate``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from medseg.report.statistics import Floats

FAILURES = ("missing_prediction", "missed", "false_alarm")
"""Statuses of a structure in a case that count as failures; an error of the whole case is one too."""


@dataclass(frozen=True)
class Metric:
    """One column of scores.

    Attributes:
        name: as in ``cases.csv``.
        title: for a reader.
        unit: ``mm``, ``ml`` or empty.
        better: which way is better, empty where neither is.
    """

    name: str
    title: str
    unit: str = ""
    better: Literal["higher", "lower", ""] = ""


@dataclass(frozen=True)
class File:
    """A file that was read: its part in the case, where it lay and what was in it."""

    role: str
    path: str
    sha256: str = ""


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        name: the case id, as found in a file name or manifest: anything at all, so escape it.
        patient: whose scan it is; empty where nobody says.
        status: ``scored``, ``missing_prediction`` or ``error:<kind>``.
        message: what went wrong, for a reader; empty where nothing did.
        flags: what was done to it or is odd about it, for example ``reoriented``.
        files: what was read.
    """

    name: str
    patient: str = ""
    status: str = "scored"
    message: str = ""
    flags: tuple[str, ...] = ()
    files: tuple[File, ...] = ()

    @property
    def has_error(self) -> bool:
        """True where the case could not be scored at all."""
        return self.status.startswith("error")


@dataclass(frozen=True)
class Method:
    """How the numbers were made.

    Attributes:
        definition: its name and version, for example ``medseg/1``.
        text: the definition in words.
        tolerances_mm: of the surface metrics, structure to tolerances.
        spacing_source: where the voxel size came from.
        versions: package to version.
        synthetic: True where the data are not of people.
        command: what was typed.
        notes: what else a reader must know: warnings, unscored files.
    """

    definition: str
    text: str = ""
    tolerances_mm: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    spacing_source: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    synthetic: bool = False
    command: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lesion:
    """One lesion of one structure in one case; sizes are NaN on the side where it is not.

    ``kind`` is ``found``, ``missed``, ``invented`` or ``too_small`` (left out of every score).
    """

    case: str
    structure: str
    kind: str
    reference_ml: float
    prediction_ml: float
    dice: float
    hd95_mm: float


@dataclass(frozen=True)
class Human:
    """How well people agree on a structure, in a metric's unit, and who says so."""

    structure: str
    metric: str
    value: float
    source: str


@dataclass(frozen=True)
class Scores:
    """Everything a report shows.

    Attributes:
        title: what was measured.
        values: (structure, metric name) to one value per case, in the order of ``cases``; NaN is undefined.
        statuses: structure to the status of each case: ``ok``, ``both_empty``, ``missed``, ``false_alarm``,
            ``missing_prediction``, or empty where the case has no score.
        penalised: (structure, metric name) to the penalised mean; absent where a miss has no price.
    """

    title: str
    method: Method
    structures: tuple[str, ...]
    metrics: tuple[Metric, ...]
    cases: tuple[Case, ...]
    values: Mapping[tuple[str, str], Floats]
    statuses: Mapping[str, tuple[str, ...]]
    penalised: Mapping[tuple[str, str], float] = field(default_factory=dict)
    lesions: tuple[Lesion, ...] = ()
    human: tuple[Human, ...] = ()

    def human_value(self, structure: str, metric: str) -> float:
        """How well people agree; NaN where nobody says."""
        known = [h.value for h in self.human if (h.structure, h.metric) == (structure, metric)]
        return known[0] if known else float("nan")

    def column(self, structure: str, metric: str) -> Floats:
        """One value per case; all NaN where this metric was not measured for this structure."""
        empty = np.full(len(self.cases), np.nan)
        return self.values.get((structure, metric), empty)

    def patients(self) -> list[str]:
        """Whose scan each case is; the case itself where nobody says."""
        return [case.patient or f"case {case.name}" for case in self.cases]

    @property
    def has_patients(self) -> bool:
        """True where some case names its patient."""
        return any(case.patient for case in self.cases)

    def count(self, structure: str, status: str) -> int:
        """How many cases have this status for this structure."""
        return self.statuses[structure].count(status)

    def digest(self) -> str:
        """One SHA-256 over the sorted SHA-256 of all files read; empty where none is known."""
        hashes = sorted(file.sha256 for case in self.cases for file in case.files if file.sha256)
        return hashlib.sha256("\n".join(hashes).encode()).hexdigest() if hashes else ""
