"""The books of a run in its output folder: ``failures.json`` and ``volumes.csv``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from medseg.inference.cases import Case
from medseg.inference.cohort import Outcome
from medseg.inference.delivery import beside
from medseg.writers import replacing
from medseg.writers.volumes import read_volumes, write_volumes


def write_failures(folder: Path, failed: Sequence[Outcome]) -> Path | None:
    """Where the failed cases are listed, one per line with the reason; the file goes where there is none.

    An entry has ``case``, ``input`` (its first file), ``reason`` and, for what is a bug of ours, ``trace``.
    """
    path = folder / "failures.json"
    if not failed:
        path.unlink(missing_ok=True)
        return None
    lines = ",\n".join(json.dumps(_entry(outcome), ensure_ascii=False) for outcome in failed)
    with replacing(path, overwrite=True) as partial:
        partial.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    return path


def _entry(outcome: Outcome) -> dict[str, str]:
    case = outcome.case
    entry = {
        "case": case.name,
        "input": case.said(str(case.images[0])),
        "reason": outcome.reason,
    }
    return entry | ({"trace": outcome.trace} if outcome.trace else {})


def write_left_out(folder: Path, left_out: Sequence[Case]) -> Path | None:
    """Where the series that were not tried are listed, one per line; the file goes where there is none.

    An entry has ``input`` (its first file), ``files`` (how many) and ``reason``.
    """
    path = folder / "left_out.json"
    if not left_out:
        path.unlink(missing_ok=True)
        return None
    entries = [
        {"input": case.said(str(case.images[0])), "files": len(case.images), "reason": case.left_out}
        for case in left_out
    ]
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    with replacing(path, overwrite=True) as partial:
        partial.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    return path


def collect_volumes(folder: Path, cases: Iterable[Case]) -> Path | None:
    """One table of the volumes of all done cases, made of each case's own; None where there is none."""
    own = [beside(case.output, ".volumes.csv") for case in cases]
    rows = [row for path in own if path.exists() for row in read_volumes(path)]
    return write_volumes(folder / "volumes.csv", rows, overwrite=True) if rows else None
