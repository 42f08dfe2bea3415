"""A cohort from cases to outcomes, by as many workers as asked for, with the books kept up to date."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from medseg.distributed.ledger import collect_volumes, write_failures
from medseg.distributed.worker import SCRATCH, Job, Worker
from medseg.inference.cases import Case
from medseg.inference.cohort import Outcome


def run_cohort(
    job: Job, cases: Sequence[Case], folder: Path, *, n_workers: int = 1, ray_address: str = ""
) -> Iterator[Outcome]:
    """The outcome of every case as it comes; failures are listed in ``folder`` at once, volumes at the end.

    An interruption ends the run; what is done stays, and the same call goes on from there.

    Args:
        n_workers: processes on this machine, or actors on the cluster (0 there: as many as it has room for).
        ray_address: of a Ray cluster, ``local`` for one on this machine; empty for none.
    """
    failed: list[Outcome] = []
    write_failures(folder, failed)
    try:
        for outcome in _outcomes(job, cases, n_workers, ray_address):
            if outcome.status == "failed":
                failed.append(outcome)
                write_failures(folder, failed)
            yield outcome
    finally:
        collect_volumes(folder, cases)
        for left in (*folder.glob(".unpacked-*"), *folder.glob(f"{SCRATCH}*")):
            shutil.rmtree(left, ignore_errors=True)


def _outcomes(job: Job, cases: Sequence[Case], n_workers: int, ray_address: str) -> Iterator[Outcome]:
    if ray_address:
        from medseg.distributed.on_ray import on_ray

        return on_ray(job, cases, ray_address, n_workers)
    if n_workers > 1:
        from medseg.distributed.processes import in_processes

        return in_processes(job, cases, min(n_workers, len(cases)))
    return _here(job, cases)


def _here(job: Job, cases: Sequence[Case]) -> Iterator[Outcome]:
    yield from map(Worker(job).do, cases)
