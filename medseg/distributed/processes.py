"""Work spread over processes of one machine."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from medseg.distributed.spread import N_TRIES, Doer, Item, Result, Work
from medseg.errors import MedsegError

_CONTEXT = multiprocessing.get_context("spawn")


class _Child:
    """A process that does items one by one, and the item that it has."""

    def __init__(self, make: Callable[[int], Doer[Any]], n_threads: int) -> None:
        self.connection, theirs = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(target=_serve, args=(make, n_threads, theirs), daemon=True)
        self.process.start()
        # Ours must not hold their end open, or its death would not be heard.
        theirs.close()

    def give(self, number: int, item: object) -> None:
        self.number = number
        try:
            self.connection.send(item)
        except BrokenPipeError:
            # It died while idle: the next wait tells.
            return

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def in_processes(work: Work[Item, Result], n_workers: int) -> Iterator[Result]:
    """The result of every item as it comes, each from one of ``n_workers`` processes.

    Each builds its `Doer` once and takes its share of the cores. One that dies is replaced.

    Raises:
        MedsegError: a worker can't be built.
    """
    share = max((os.cpu_count() or 1) // n_workers, 1)
    waiting, tries = list(range(len(work.items)))[::-1], [0] * len(work.items)
    busy: dict[Any, _Child] = {}

    def start(child: _Child | None = None) -> None:
        child = child or _Child(work.make, share)
        number = waiting.pop()
        child.give(number, work.items[number])
        busy[child.connection] = child

    try:
        while waiting or busy:
            while waiting and len(busy) < n_workers:
                start()
            for connection in wait(list(busy)):
                child = busy.pop(connection)
                try:
                    answer = child.connection.recv()
                except (EOFError, ConnectionResetError):
                    child.end()
                    tries[child.number] += 1
                    if tries[child.number] < N_TRIES:
                        waiting.insert(0, child.number)
                    else:
                        yield work.lost(work.items[child.number])
                    continue
                if isinstance(answer, MedsegError):
                    child.end()
                    raise answer
                if waiting:
                    start(child)
                else:
                    child.end()
                yield answer
    finally:
        for child in busy.values():
            child.end()


def _serve(make: Callable[[int], Doer[Any]], n_threads: int, connection: Connection) -> None:
    try:
        doer = make(n_threads)
    except MedsegError as error:
        # With the first item it reaches the user; raised here it would look like a death.
        connection.recv()
        connection.send(error)
        return
    try:
        while True:
            connection.send(doer.do(connection.recv()))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        # The parent ended, or Ctrl-C reached us too: there is nobody to answer.
        return
