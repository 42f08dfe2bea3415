"""Three stages of successive items side by side: one is read, one is worked on, one is finished."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")
Worked = TypeVar("Worked")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Stages(Generic[Item, Read, Worked, Result]):
    """What is done to each item.

    Attributes:
        read: in a thread of its own, while an earlier item is worked on; at most one item ahead.
        work: in the caller's thread, from the item and what waits for its reading; it raises nothing.
        finish: in another thread, while a later item is worked on; at most one item waits for it. It raises
            nothing.
        drop_read, drop_worked: for what was begun and is not wanted any more.
    """

    read: Callable[[Item], Read]
    work: Callable[[Item, Callable[[], Read]], Worked]
    finish: Callable[[Worked], Result]
    drop_read: Callable[[Read], object]
    drop_worked: Callable[[Worked], object]

    def results(self, items: Sequence[Item]) -> Iterator[Result]:
        """The result of each item in turn, when the next one has been worked on.

        Whoever stops asking finds finished what was given, and nothing of the others.
        """
        finishing: Future[Result] | None = None
        with ThreadPoolExecutor(1) as finisher, closing(self._read_ahead(items)) as ahead:
            for item, waited_for in ahead:
                worked = self.work(item, waited_for)
                if finishing is not None:
                    try:
                        yield finishing.result()
                    except GeneratorExit:
                        self.drop_worked(worked)
                        raise
                finishing = finisher.submit(self.finish, worked)
            if finishing is not None:
                yield finishing.result()

    def _read_ahead(self, items: Sequence[Item]) -> Generator[tuple[Item, Callable[[], Read]]]:
        """Each item and what waits for its reading; the next one is read meanwhile."""
        ahead: deque[Future[Read]] = deque()
        with ThreadPoolExecutor(1) as reader:
            try:
                for item, upcoming in pairwise([None, *items, None]):
                    if upcoming is not None:
                        ahead.append(reader.submit(self.read, upcoming))
                    if item is not None:
                        yield item, ahead.popleft().result
            finally:
                for left in ahead:
                    if not left.cancel() and left.exception() is None:
                        self.drop_read(left.result())
