"""Reading of the next case and writing of the last beside the network of this one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from medseg.distributed import worker
from medseg.distributed.job import Job
from medseg.distributed.worker import Worker
from medseg.inference.cases import Case
from tests.toy_bundle import write_bundle, write_scan


class Watched(Worker):
    """Knows which cases were read by the time that a case's network begins, waiting a little for the next.

    And, of each case, whether the next one's network began before its files were written.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.read = {name: threading.Event() for name in "abc"}
        self.begun = {name: threading.Event() for name in "abc"}
        self.seen: list[bool] = []
        self.written_beside: list[bool] = []

    def _opened(self, case: Case):
        opened = super()._opened(case)
        self.read[case.name[0]].set()
        return opened

    def _delivered(self, labelled):
        upcoming = self.begun.get(chr(ord(labelled.case.name[0]) + 1))
        self.written_beside.append(upcoming.wait(self.wait_s) if upcoming else True)
        return super()._delivered(labelled)

    def _result(self, case: Case, *arguments: object):
        self.begun[case.name[0]].set()
        upcoming = self.read.get(chr(ord(case.name[0]) + 1))
        self.seen.append(upcoming.wait(self.wait_s) if upcoming else True)
        return super()._result(case, *arguments)


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    scans = [write_scan(tmp_path / f"{name}.nii.gz", (12, 14, 9)) for name in "abc"]
    return [Case(scan.name, (scan,), tmp_path / "out" / scan.name) for scan in scans]


def outcomes(
    tmp_path: Path, cases: list[Case], wait_s: float, **options: object
) -> Iterator[tuple[str, tuple]]:
    job = Job((write_bundle(tmp_path / "toy"),), tmp_path / "out", **options)
    watched = Watched(job)
    watched.wait_s = wait_s
    for outcome in watched.do_each(cases):
        yield outcome.status, (watched.seen, watched.written_beside)


def test_the_next_case_is_read_and_the_last_written_while_the_network_has_this_one(
    tmp_path: Path, cases: list[Case]
) -> None:
    found = list(outcomes(tmp_path, cases, 20, trust=True))
    assert [status for status, _ in found] == ["done"] * 3
    assert found[-1][1] == ([True] * 3, [True] * 3)
    assert not list((tmp_path / "out").glob(f"{worker.SCRATCH}*"))


@pytest.mark.parametrize("options", [{"trust": False}, {"trust": True, "max_ram": 8 << 30}])
def test_a_leash_or_a_bound_on_memory_keeps_cases_in_turn(tmp_path, cases, options) -> None:
    found = list(outcomes(tmp_path, cases, 0.2, **options))
    assert [status for status, _ in found] == ["done"] * 3
    assert found[-1][1] == ([False, False, True], [False, False, True])


def test_a_case_that_cannot_be_read_costs_no_other(tmp_path: Path, cases: list[Case]) -> None:
    cases[1].images[0].write_bytes(cases[1].images[0].read_bytes()[:-200])
    statuses = [status for status, _ in outcomes(tmp_path, cases, 0.2, trust=True)]
    assert statuses == ["done", "failed", "done"]


def test_an_end_in_the_middle_leaves_nothing_behind(tmp_path: Path, cases: list[Case]) -> None:
    done = outcomes(tmp_path, cases, 20, trust=True)
    assert next(done)[0] == "done"
    done.close()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.nii.gz", "a.volumes.csv"}
