"""One fault of a bundle, with the place to mend it and the nearest name that exists."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Finding:
    """A fault at a place.

    Attributes:
        file: path inside the bundle.
        line: counted from 1; 0 where the file as a whole is meant or is missing.
        id: path of the item in the merged config (``train::optimizer::lr``), or empty.
        code: a short name of the kind of fault (``unknown-argument``).
        message: what was found and what was expected.
        nearest: the name that was probably meant, or empty.
        severity: ``error``, or ``warning`` for what works but probably not as meant.
    """

    file: str
    line: int
    id: str
    code: str
    message: str
    nearest: str = ""
    severity: str = "error"

    @property
    def is_error(self) -> bool:
        """True where the bundle cannot be used as it is."""
        return self.severity == "error"

    def as_dict(self) -> dict[str, str | int]:
        """The finding as JSON takes it."""
        return asdict(self)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        where = f" {self.id}:" if self.id else ""
        hint = f"; nearest: {self.nearest}" if self.nearest else ""
        return printable(f"{place}:{where} {self.severity} {self.code}: {self.message}{hint}")


def printable(text: str) -> str:
    """The text with control characters written out: a stranger's file may not steer the terminal.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


_MANY = 5000
_LONGEST = 300


def nearest(name: str, names: Iterable[str]) -> str:
    """The name most like `name`, upper and lower case alike, or an empty string where none is like it.

    >>> nearest("epohcs", ["max_epochs", "epochs", "device"])
    'epochs'
    """
    names = set(names)
    if len(names) > _MANY or len(name) > _LONGEST:
        return ""  # a config of that size was made to keep us busy
    names = {n for n in names if len(n) <= _LONGEST}
    known: dict[str, str] = {}
    for n in sorted(names, key=lambda n: (_same_case(n, name), n)):
        known[n.lower()] = n
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    if close:
        return known[close[0]]
    if len(name) < 4:
        return ""
    parts = [n for n in known if name.lower() in n]
    return known[min(parts, key=len)] if parts else ""


def _same_case(a: str, b: str) -> int:
    return sum(x == y for x, y in zip(a, b, strict=False))


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """The findings by file and line, each once: a fault that two merged configs share is one fault."""
    seen: dict[tuple[str, int, str, str], Finding] = {}
    for f in findings:
        seen.setdefault((f.file, f.line, f.code, f.message), f)
    return sorted(seen.values(), key=lambda f: (f.file, f.line, f.code))


_BREAKS = frozenset(["unknown-target", "unknown-argument", "missing-argument", "missing-id", "unknown-key"])
_BREAKS |= {"dangling-reference", "circular-reference", "unknown-id", "unreadable", "missing-file"}
_FLOW = ("wiring", "scores")
_INPUTS = ("transforms", "preprocessing", "postprocessing", "loss")


def independent(meaning: Iterable[Finding], broken: Iterable[Finding]) -> list[Finding]:
    """Faults of meaning without those that only follow from a broken part: one mistake is one finding."""
    breaks = [b for b in broken if b.is_error and b.code in _BREAKS]
    return [f for f in meaning if not any(_follows(f, b) for b in breaks)]


def _follows(fault: Finding, broken: Finding) -> bool:
    if fault.code in _FLOW and fault.file == broken.file:
        return True
    if fault.code == "train-differs" and any(word in broken.id for word in _INPUTS):
        return not fault.id.startswith("network_def") or broken.id.startswith("network_def")
    return fault.file == broken.file and _area(fault.id) == _area(broken.id)


def _area(item_id: str) -> str:
    parts = item_id.split("::")
    return "::".join(parts[: 2 if parts[0] in ("train", "validate") else 1])
