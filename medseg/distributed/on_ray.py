"""Work spread over a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from medseg.distributed.shares import Machine, shares
from medseg.distributed.spread import N_TRIES, Doer, Item, Result, Work
from medseg.errors import MedsegError

LOCAL = "local"


class Actor:
    """A `Doer` on a machine of the cluster; what a user did wrong comes back as a value."""

    def __init__(self, make: Callable[[int], Doer[Any]], n_threads: int) -> None:
        self.doer: Doer[Any] | MedsegError
        try:
            self.doer = make(n_threads)
        except MedsegError as error:
            self.doer = error

    def do(self, item: Any) -> Any:
        """The result of an item, or the error that kept the `Doer` from being built."""
        return self.doer if isinstance(self.doer, MedsegError) else self.doer.do(item)


def on_ray(work: Work[Item, Result], address: str, n_workers: int = 0) -> Iterator[Result]:
    """The result of every item as it comes, each from an actor that built its `Doer` once.

    Inputs, bundles and outputs must lie on a disk that every machine sees under the same path.

    Args:
        address: of the cluster's head (``ray://HOST:10001``, ``auto``), or ``local`` for one on this machine.
        n_workers: actors; 0 for one per GPU of the cluster, or one per two cores where it has none. Never
            more than have a place.

    Raises:
        MedsegError: the extra ``ray`` is not installed, the cluster can't be reached, or a worker can't be
            built.
    """
    ray = _connected(address, n_workers)
    try:
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        machines = [Machine(int(has.get("CPU", 0)), int(has.get("GPU", 0))) for has in alive]
        n, cores, part = shares(machines, n_workers, len(work.items))
        actor = ray.remote(num_gpus=part, num_cpus=cores, max_restarts=0)(Actor)
        yield from _spread(ray, lambda: actor.remote(work.make, max(cores, 1)), work, n)
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
        # A cluster may send a whole traceback; its last line says why.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise MedsegError(
            f"no Ray cluster at {address}: {reason}", "the address of its head", _what_to_try(address)
        ) from error
    return ray


def _what_to_try(address: str) -> str:
    """A head answers a client without a token as if nobody were there, and `ray://` sends none unasked."""
    needs_mode = address.startswith("ray://") and os.environ.get("RAY_AUTH_MODE") != "token"
    token = ", or set RAY_AUTH_MODE=token if the cluster asks for a token" if needs_mode else ""
    return f"try `ray status` there{token}"


def _spread(ray: Any, new: Callable[[], Any], work: Work[Item, Result], n_workers: int) -> Iterator[Result]:
    """Each free actor gets the next item; that of one which dies goes to the end of the queue."""
    waiting, tries = list(range(len(work.items)))[::-1], [0] * len(work.items)
    free = [new() for _ in range(n_workers)]
    running: dict[Any, tuple[Any, int]] = {}
    while waiting or running:
        while waiting and free:
            worker, number = free.pop(), waiting.pop()
            running[worker.do.remote(work.items[number])] = (worker, number)
        (ready, *_), _rest = ray.wait(list(running), num_returns=1)
        worker, number = running.pop(ready)
        try:
            answer = ray.get(ready)
        except ray.exceptions.RayActorError:
            free.append(new())
            tries[number] += 1
            if tries[number] < N_TRIES:
                waiting.insert(0, number)
            else:
                yield work.lost(work.items[number])
            continue
        if isinstance(answer, MedsegError):
            raise answer
        free.append(worker)
        yield answer
