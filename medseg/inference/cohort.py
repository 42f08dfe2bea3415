"""What became of a case among many: what is done is kept, what fails is told, the rest goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from medseg.errors import MedsegError
from medseg.inference.cases import Case

Status = Literal["done", "kept", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of one case.

    Attributes:
        status: ``done``, ``kept`` (its label map was there already) or ``failed``.
        reason: why it failed, in one line; empty otherwise.
        wall_s: seconds spent on it.
        trace: where the error was raised, for a report of a bug; empty otherwise.
        notes: what is amiss with the scan, though it could be done.
    """

    case: Case
    status: Status
    wall_s: float = 0.0
    reason: str = ""
    trace: str = ""
    notes: tuple[str, ...] = ()


def one_line(error: Exception) -> str:
    """An error in one line: a `MedsegError` as it is, anything else with its type and the deepest cause."""
    if isinstance(error, MedsegError):
        return str(error)
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    text = " ".join(str(cause).split())
    return f"{type(cause).__name__}: {text[:300]}"
