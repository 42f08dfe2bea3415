"""Every worker that is started has a place: on a GPU, or on the cores of one machine."""

from __future__ import annotations

import itertools

import pytest

from medseg.distributed.shares import Machine, Shares, shares


@pytest.mark.parametrize(
    ("machines", "wanted", "items", "expected"),
    [
        ([(16, 4)], 0, 100, (4, 4, 1.0)),
        ([(16, 4)], 8, 100, (8, 2, 0.5)),
        # Two thirds of a GPU each would leave the third worker without one.
        ([(8, 2)], 3, 100, (3, 2, 0.5)),
        ([(8, 1)], 6, 100, (6, 1, 0.1666)),
        ([(2, 4)], 0, 100, (4, 0, 1.0)),
        ([(16, 4)], 0, 2, (2, 4, 1.0)),
        ([(8, 0)], 0, 100, (4, 2, 0)),
        # Three workers of two cores have no place on two machines of three.
        ([(3, 0), (3, 0)], 0, 100, (2, 3, 0)),
        ([(4, 0)], 10, 100, (4, 1, 0)),
        ([(1, 0)], 0, 100, (1, 1, 0)),
        ([(8, 0), (2, 2)], 0, 100, (2, 1, 1.0)),
    ],
)
def test_shares(machines, wanted, items, expected) -> None:
    assert shares([Machine(*machine) for machine in machines], wanted, items) == Shares(*expected)


@pytest.mark.parametrize("wanted", range(9))
def test_no_machine_is_asked_for_more_than_it_has(wanted: int) -> None:
    for cpus, gpus, more in itertools.product(range(1, 9), range(4), range(0, 7, 3)):
        machines = [Machine(cpus, gpus), *[Machine(more, 0)] * bool(more)]
        n, cores, part = shares(machines, wanted, 100)
        if part:
            assert n <= gpus * int(1 / part)
            assert cores * int(1 / part) * gpus <= cpus
        else:
            assert n <= sum(machine.cpus // cores for machine in machines)
