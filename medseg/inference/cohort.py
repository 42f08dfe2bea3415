"""Many cases in one go: what is done is kept, what fails is told, the rest goes on."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

from medseg.errors import MedsegError
from medseg.inference.cases import Case
from medseg.inference.privacy import CUT

LONGEST = 300
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


def predict_cases(
    cases: Iterable[Case], predict: Callable[[Case], object], *, overwrite: bool = False
) -> Iterator[Outcome]:
    """The outcome of each case in turn; ``predict`` is called for those without a label map.

    A case that raises is an outcome like any other, with its reason, so that one damaged scan does not cost
    the others. An interruption (Ctrl-C) ends the run; what is done stays.
    """
    for case in cases:
        if case.output.exists() and not overwrite:
            yield Outcome(case, "kept")
            continue
        start = perf_counter()
        try:
            predict(case)
        except Exception as error:  # noqa: BLE001  reported with its trace, by the caller and in failures.json
            yield Outcome(case, "failed", perf_counter() - start, one_line(error), traceback.format_exc())
        else:
            yield Outcome(case, "done", perf_counter() - start)


def one_line(error: Exception) -> str:
    """An error in one line: a `MedsegError` as it is, anything else with its type and the deepest cause."""
    if isinstance(error, MedsegError):
        return " ".join(str(error).split())
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    text = " ".join(str(cause).split())
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}{CUT}"
    return f"{type(cause).__name__}: {text}"
