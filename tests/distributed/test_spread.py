from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from medseg.distributed.processes import in_processes
from medseg.distributed.spread import Work
from medseg.errors import BundleError
from tests.distributed.squares import Squarer, broken


def squares(folder: Path, *, once: tuple[int, ...] = (), always: tuple[int, ...] = ()) -> Work:
    return Work(partial(Squarer, folder, once, always), range(6), lambda item: (item, -1))


def test_a_killed_process_costs_no_item_and_no_item_is_done_twice(tmp_path: Path) -> None:
    found = list(in_processes(squares(tmp_path, once=(2,)), 2))
    assert sorted(found) == [(n, n * n) for n in range(6)]
    tries = {n: len((tmp_path / f"tries_{n}").read_text()) for n in range(6)}
    assert tries == {0: 1, 1: 1, 2: 2, 3: 1, 4: 1, 5: 1}


def test_an_item_that_kills_every_worker_is_given_up_and_the_others_are_done(tmp_path: Path) -> None:
    found = dict(in_processes(squares(tmp_path, always=(1,)), 2))
    assert found == {0: 0, 1: -1, 2: 4, 3: 9, 4: 16, 5: 25}
    assert len((tmp_path / "tries_1").read_text()) == 3


def test_a_worker_that_can_not_be_built_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="give one"):
        list(in_processes(Work(broken, [1, 2], str), 2))
