"""A cohort from cases to outcomes, by as many workers as asked for, with the books kept up to date."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from medseg.distributed.job import Job
from medseg.distributed.ledger import collect_volumes, write_failures
from medseg.distributed.spread import LOST, Work, results_of
from medseg.distributed.worker import SCRATCH, Worker
from medseg.inference.cases import Case
from medseg.inference.cohort import Outcome


def run_cohort(
    job: Job, cases: Sequence[Case], folder: Path, *, n_workers: int = 1, ray_address: str = ""
) -> Iterator[Outcome]:
    """The outcome of every case as it comes; failures are listed in ``folder`` at once, volumes at the end.

    An interruption ends the run; what is done stays, and the same call goes on from there.

    Args:
        n_workers, ray_address: as `results_of` takes them.
    """
    failed: list[Outcome] = []
    write_failures(folder, failed)
    work = Work(partial(Worker, job), cases, _lost)
    try:
        for outcome in results_of(work, n_workers=n_workers, ray_address=ray_address):
            if outcome.status == "failed":
                failed.append(outcome)
                write_failures(folder, failed)
            yield outcome
    finally:
        collect_volumes(folder, cases)
        for left in (*folder.glob(".unpacked-*"), *folder.glob(f"{SCRATCH}*")):
            shutil.rmtree(left, ignore_errors=True)


def _lost(case: Case) -> Outcome:
    return Outcome(case, "failed", reason=LOST)
