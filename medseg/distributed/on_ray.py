"""Cases spread over a Ray cluster; lost workers are replaced and their cases tried again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from medseg.distributed.processes import LOST, N_TRIES
from medseg.distributed.worker import Job, Worker
from medseg.errors import MedsegError
from medseg.inference.cases import Case
from medseg.inference.cohort import Outcome

LOCAL = "local"


def on_ray(job: Job, cases: Sequence[Case], address: str, n_workers: int = 0) -> Iterator[Outcome]:
    """The outcome of every case as it comes, each from an actor that loaded the bundles once.

    Inputs, bundles and outputs must lie on a disk that every machine sees under the same path.

    Args:
        address: of the cluster's head (``ray://HOST:10001``, ``auto``), or ``local`` for one on this machine.
        n_workers: actors; 0 for one per GPU of the cluster, or one per two cores where it has none.

    Raises:
        MedsegError: the extra ``ray`` is not installed, or the cluster can't be reached.
    """
    ray = _connected(address, n_workers)
    try:
        n_gpus, n_cpus = (int(ray.cluster_resources().get(kind, 0)) for kind in ("GPU", "CPU"))
        n = n_workers or n_gpus or max(n_cpus // 2, 1)
        share = {"num_gpus": min(n_gpus / n, 1)} if n_gpus else {}
        cores = max(n_cpus // n, 1)
        actor = ray.remote(**share, num_cpus=cores, max_restarts=0)(Worker)
        yield from _spread(ray, actor, replace(job, n_threads=job.n_threads or cores), cases, n)
    finally:
        ray.shutdown()


def _connected(address: str, n_workers: int) -> Any:
    try:
        import ray
    except ImportError as error:
        raise MedsegError(
            "Ray is not installed", "the extra `ray`", "run `pip install medseg[ray]`"
        ) from error
    try:
        if address == LOCAL:
            # By default Ray listens on the machine's outward address.
            ray.init(
                num_cpus=n_workers or None,
                _node_ip_address="127.0.0.1",
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
            )
        else:
            ray.init(address=address, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise MedsegError(
            f"no Ray cluster at {address}: {error}", "the address of its head", "try `ray status`"
        ) from error
    return ray


def _spread(ray: Any, actor: Any, job: Job, cases: Sequence[Case], n_workers: int) -> Iterator[Outcome]:
    """Each free actor gets the next case; the case of one that dies goes to the end of the queue."""
    waiting, tries = list(cases)[::-1], dict.fromkeys(cases, 0)
    free = [actor.remote(job) for _ in range(min(n_workers, len(cases)))]
    running: dict[Any, tuple[Any, Case]] = {}
    while waiting or running:
        while waiting and free:
            worker, case = free.pop(), waiting.pop()
            running[worker.do.remote(case)] = (worker, case)
        (ready, *_), _rest = ray.wait(list(running), num_returns=1)
        worker, case = running.pop(ready)
        try:
            outcome = ray.get(ready)
            free.append(worker)
            yield outcome
        except ray.exceptions.RayActorError as error:
            # A bundle that can't be loaded is the user's mistake, and no other worker would do better.
            cause = error.__cause__ or getattr(error, "cause", None)
            if isinstance(cause, MedsegError):
                raise cause from None
            free.append(actor.remote(job))
            tries[case] += 1
            if tries[case] < N_TRIES:
                waiting.insert(0, case)
            else:
                yield Outcome(case, "failed", reason=LOST.format(n=N_TRIES))
