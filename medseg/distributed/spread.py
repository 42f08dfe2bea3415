"""Items spread over workers that may die: on processes of this machine, or on a Ray cluster.

A worker does one item at a time. Where it dies, the item that it had is tried again by a new one; no other
item is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

Item = TypeVar("Item")
Result = TypeVar("Result", covariant=True)

N_TRIES = 3
LOST = f"the worker that had it ended {N_TRIES} times (killed, or out of memory)"


class Doer(Protocol[Result]):
    """What a worker builds once, models loaded, and then asks for each item."""

    def do(self, item: Any) -> Result:
        """The result of one item; what it writes appears whole or not at all."""


@runtime_checkable
class DoerOfMany(Doer[Result], Protocol[Result]):
    """A `Doer` that gains by knowing which items come next."""

    def do_each(self, items: Sequence[Any]) -> Iterator[Result]:
        """The result of each item in turn."""


@dataclass(frozen=True)
class Work(Generic[Item, Result]):
    """What is to be done.

    Attributes:
        make: builds a worker's `Doer` from its number of threads; it is pickled and sent there.
        items: pickled too, results as well.
        lost: the result of an item whose workers died `N_TRIES` times.
    """

    make: Callable[[int], Doer[Result]]
    items: Sequence[Item]
    lost: Callable[[Item], Result]


def results_of(work: Work[Item, Result], *, n_workers: int = 1, ray_address: str = "") -> Iterator[Result]:
    """The result of every item as it comes, each once.

    Args:
        n_workers: here where it is 1, else processes on this machine; with Ray actors, 0 for as many as the
            cluster has room for.
        ray_address: of a Ray cluster, ``local`` for one on this machine; empty for none.
    """
    if ray_address:
        from medseg.distributed.on_ray import on_ray

        yield from on_ray(work, ray_address, n_workers)
    elif n_workers > 1 and work.items:
        from medseg.distributed.processes import in_processes

        yield from in_processes(work, min(n_workers, len(work.items)))
    elif work.items:
        doer = work.make(0)
        yield from doer.do_each(work.items) if isinstance(doer, DoerOfMany) else map(doer.do, work.items)
