"""What is amiss with a file, a case or a data set, in the three parts of every medseg message."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from medseg.errors import DataError, GeometryError, LabelError

BLOCKS, WARNING, NOTE = "blocks", "warning", "note"
SEVERITIES = (BLOCKS, WARNING, NOTE)
_GEOMETRY = {"affine", "spacing", "grid", "shift", "orientation", "dicom-slices", "dicom-orientation"}
_LABELS = {"label-values", "label-integral"}
_LONGEST = 300


@dataclass(frozen=True)
class Finding:
    """One thing that is amiss.

    Attributes:
        rule: the short name of the check, stable, for machines.
        severity: ``blocks`` (do not train on this), ``warning`` (look at it), ``note`` (good to know).
        found: what is there.
        expected: what should be there.
        do: the next step.
        case: whose, or empty where it is the data set's.
        file: path inside the data set's folder, or empty.
    """

    rule: str
    severity: str
    found: str
    expected: str
    do: str
    case: str = ""
    file: str = ""

    def at(self, case: str, file: str = "") -> Finding:
        """The same finding with its place."""
        return replace(self, case=case, file=file or self.file)

    def as_dict(self) -> dict[str, str]:
        """The fields by name, for JSON."""
        return asdict(self)

    def error(self) -> DataError:
        """The finding as the error that a reader raises."""
        kind = GeometryError if self.rule in _GEOMETRY else LabelError if self.rule in _LABELS else DataError
        return kind(f"{self.file}: {self.found}" if self.file else self.found, self.expected, self.do)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """The findings ordered by severity, then rule, case and file."""
    return sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), f.rule, f.case, f.file, f.found))


def unreadable(found: str, do: str = "fetch or export the file anew") -> Finding:
    """A file that gives no image; what a library said of it, in however many lines, becomes one."""
    text = " ".join(found.split())
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 2]} …"
    return Finding("unreadable", BLOCKS, text, "a whole, readable image", do)


def said(error: BaseException, path: Path) -> str:
    """What a library's error says of a file, without the file's folder and the library's own whereabouts.

    >>> said(RuntimeError("Exception thrown in X: /a.cxx:7:\\nITK ERROR: Y(0x5): no such row"), Path("a.tif"))
    'no such row'
    """
    text = str(error).replace(f"{path.absolute().parent}{os.sep}", "")
    # ITK tells where in its source first, teem the whole way down to the fault.
    *_, text = re.split(r"ERROR: (?:\w+\(0x[0-9a-f]+\): )?", text)
    *_, text = re.split(r"\[nrrd\] \w+:", text)
    *_, text = re.split(r"Exception thrown in [^:]*: [^ ]*:\d+:", text)
    return " ".join(text.split()) or type(error).__name__


class UnreadableError(Exception):
    """Carries the finding that says why a file gives no image; never leaves medseg.data."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.found)
        self.finding = finding
