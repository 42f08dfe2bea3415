"""How a cluster's processors and GPUs are dealt to workers so that each worker has a place.

A worker that asks for more than any machine has left waits for ever, and its case with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

# Ray counts shares in ten-thousandths; rounded up, six sixths would not fit on one GPU.
_PARTS = 10_000


class Machine(NamedTuple):
    """What one machine of a cluster has."""

    cpus: int
    gpus: int


class Shares(NamedTuple):
    """How many workers, and what each asks for."""

    workers: int
    cpus: int
    gpus: float


def shares(machines: Sequence[Machine], wanted: int, items: int) -> Shares:
    """What each worker gets: on GPUs a whole one, or an equal part where more workers are wanted.

    Without GPUs each gets as many cores as all of them can have, two where nothing is ``wanted`` (0). Never
    more workers than have a place, or than there are items.

    >>> shares([Machine(16, 4)], 8, 100), shares([Machine(3, 0), Machine(3, 0)], 0, 100)
    (Shares(workers=8, cpus=2, gpus=0.5), Shares(workers=2, cpus=3, gpus=0))
    """
    items = max(items, 1)
    with_gpus = [machine for machine in machines if machine.gpus]
    if with_gpus:
        n_gpus = sum(machine.gpus for machine in with_gpus)
        n = min(wanted or n_gpus, items)
        on_each = math.ceil(n / n_gpus)
        cpus = min(machine.cpus // (machine.gpus * on_each) for machine in with_gpus)
        return Shares(n, cpus, math.floor(_PARTS / on_each) / _PARTS)
    n_cpus = sum(machine.cpus for machine in machines)
    n = wanted or sum(machine.cpus // 2 for machine in machines)
    n = max(min(n, n_cpus, items), 1)
    most = max((machine.cpus for machine in machines), default=1)
    fitting = [c for c in range(most, 0, -1) if sum(machine.cpus // c for machine in machines) >= n]
    return Shares(n, fitting[0] if fitting else 1, 0)
