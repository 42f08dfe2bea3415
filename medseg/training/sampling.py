"""Which case is visited when: a function of seed, epoch and place, so that a run can go on anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import numpy as np
from torch.utils.data import Sampler

from medseg.training.processes import n_processes, rank


class Visit(int):
    """The index of a case together with the seed of this visit's chance.

    Attributes:
        seed: for the augmentation, in [0, 2**32).
    """

    seed: int

    def __new__(cls, index: int, seed: int) -> Visit:
        """An index that knows its seed."""
        visit = super().__new__(cls, index)
        visit.seed = seed
        return visit

    def __reduce__(self) -> tuple[type[Visit], tuple[int, int]]:
        """Go to a worker process and back with the seed."""
        return (Visit, (int(self), self.seed))


class Visits(Sampler[Visit]):
    """Every case once in a new order, again and again; the same visits whatever the number of processes.

    The order of round r is a permutation drawn from (seed, r), and a visit's chance from (seed, r, case). So
    nothing has to be remembered but the place, and N processes with batches of B see in each step what one
    process sees with batches of N·B.

    Args:
        dataset: what is visited; only its length counts.
        seed: another seed gives other orders and other chance.
        per_epoch: visits in an epoch, by default one of each case; rounds go on across epochs.
    """

    def __init__(self, dataset: Sized, seed: int | None = 0, per_epoch: int | None = None) -> None:
        self.n_cases, self.seed = len(dataset), seed or 0
        self.per_epoch = per_epoch or self.n_cases
        self.epoch = self.offset = 0

    def __len__(self) -> int:
        """Visits of this process in an epoch."""
        return self.per_epoch // n_processes()

    def place(self, epoch: int, offset: int = 0) -> None:
        """Let the next iteration begin in `epoch`, counted from 0, after `offset` visits of this process."""
        self.epoch, self.offset = epoch, offset

    def __iter__(self) -> Iterator[Visit]:
        """The visits of this process from the place to the epoch's end."""
        first, self.offset = self.offset, 0
        for number in range(first, len(self)):
            yield self._visit(self.epoch * self.per_epoch + number * n_processes() + rank())

    def _visit(self, count: int) -> Visit:
        round_, place = divmod(count, self.n_cases)
        index = int(np.random.default_rng([self.seed, round_]).permutation(self.n_cases)[place])
        seed = int(np.random.SeedSequence([self.seed, round_, index]).generate_state(1)[0])
        return Visit(index, seed)


class Spread(Sampler[int]):
    """Every case once, in an order whose every beginning is spread over the whole list; shared by processes.

    The order is that of the van der Corput sequence in base 2: a validation on the first n cases is then one
    on n cases from all over the list.

    Args:
        dataset: what is visited; only its length counts.
    """

    def __init__(self, dataset: Sized) -> None:
        self.n_cases = len(dataset)

    def _order(self) -> list[int]:
        n_bits = max(1, (self.n_cases - 1).bit_length())
        order = [int(format(i, f"0{n_bits}b")[::-1], 2) for i in range(2**n_bits)]
        # With fewer cases than processes each visits them all: the mean is the same, and none waits for ever.
        shared = self.n_cases >= n_processes()
        order = [i for i in order if i < self.n_cases]
        return order[rank() :: n_processes()] if shared else order

    def __len__(self) -> int:
        """Cases that this process visits."""
        return len(self._order())

    def __iter__(self) -> Iterator[int]:
        """The cases that this process visits."""
        return iter(self._order())
