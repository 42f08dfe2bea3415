"""Cases spread over processes of one machine; a process that dies costs its cases one more try."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

from medseg.distributed.worker import Job, Worker
from medseg.errors import MedsegError
from medseg.inference.cases import Case
from medseg.inference.cohort import Outcome

N_TRIES = 3
LOST = "the worker that had it ended {n} times (killed, or out of memory)"
_worker: Worker | MedsegError | None = None


def in_processes(job: Job, cases: Sequence[Case], n_workers: int) -> Iterator[Outcome]:
    """The outcome of every case as it comes, each from one of ``n_workers`` processes.

    Each process loads the bundles once and takes its share of the cores. Where one dies, all are started anew
    and the cases that were under way are tried again, three times in all.
    """
    share = max((os.cpu_count() or 1) // n_workers, 1)
    job = job if job.n_threads else replace(job, n_threads=share)
    tries = dict.fromkeys(cases, 0)
    left = list(cases)
    while left:
        broken: list[Case] = []
        for case, outcome in _round(job, left, n_workers, broken):
            left.remove(case)
            yield outcome
        for case in broken:
            tries[case] += 1
            if tries[case] >= N_TRIES:
                left.remove(case)
                yield Outcome(case, "failed", reason=LOST.format(n=N_TRIES))


def _round(
    job: Job, cases: Sequence[Case], n_workers: int, broken: list[Case]
) -> Iterator[tuple[Case, Outcome]]:
    """Outcomes until all are there or a process dies; the cases under way then are put into ``broken``."""
    waiting = list(cases)[::-1]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, context, _begin, (job,)) as pool:
        running: dict[Future[Outcome], Case] = {}
        try:
            while waiting or running:
                while waiting and len(running) < n_workers:
                    case = waiting.pop()
                    running[pool.submit(_do, case)] = case
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    outcome = future.result()
                    yield running.pop(future), outcome
        except BrokenProcessPool:
            broken.extend(running.values())
            return
        except GeneratorExit:
            pool.shutdown(cancel_futures=True)
            raise


def _begin(job: Job) -> None:
    global _worker
    try:
        _worker = Worker(job)
    except MedsegError as error:
        # Raised here it would only break the pool; with a case it reaches the user.
        _worker = error


def _do(case: Case) -> Outcome:
    if isinstance(_worker, MedsegError):
        raise _worker
    assert _worker is not None
    return _worker.do(case)
