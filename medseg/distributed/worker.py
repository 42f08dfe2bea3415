"""What one worker does: the bundles loaded once, then case after case from its files to its files."""

from __future__ import annotations

import re
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

import torch

from medseg.bundle.predicting import inference_config
from medseg.bundle.restricted import check
from medseg.distributed.job import Job
from medseg.distributed.labelling import Labeller
from medseg.distributed.stages import Stages
from medseg.errors import MedsegError
from medseg.inference.cases import Case
from medseg.inference.cohort import Outcome, one_line
from medseg.inference.delivery import Result, deliver, is_done
from medseg.inference.staging import Staged, stage
from medseg.labels import Structure

SCRATCH = ".scratch-"


@dataclass(frozen=True)
class _Opened:
    """A case that was read and checked, and the folder that holds what was made of it."""

    staged: Staged
    scratch: tempfile.TemporaryDirectory[str]


@dataclass(frozen=True)
class _Labelled:
    """A case whose labels are known and not written yet.

    Attributes:
        told: what the predictor had to say meanwhile.
        wall_s: seconds spent on it so far.
    """

    case: Case
    staged: Staged
    scratch: tempfile.TemporaryDirectory[str]
    result: Result
    structures: tuple[Structure, ...]
    told: tuple[str, ...]
    wall_s: float


class Worker:
    """A loaded labeller, and what surrounds it: files read before, files written after, and their order.

    Args:
        n_threads: of torch in this worker; 0 leaves them as they are.

    Raises:
        BundleError: a bundle can't be loaded, or several don't fit together.
    """

    def __init__(self, job: Job, n_threads: int = 0) -> None:
        if n_threads:
            torch.set_num_threads(n_threads)
        self.job = job
        modes = [check(b, trust=job.trust, files=[inference_config(b)]) for b in job.bundles]
        self.mode = next((mode for mode in modes if not mode.full), modes[0])
        with self.mode.kept_in(job.folder):
            self.labeller = Labeller(job)

    def do(self, case: Case) -> Outcome:
        """What became of the case; its files are written, or nothing is."""
        return self._delivered(self._labelled(case, partial(self._opened_if_needed, case)))

    def do_each(self, cases: Sequence[Case]) -> Iterator[Outcome]:
        """What became of each case; while the network has one, the next is read and the last is written.

        In turn where memory is bounded, or a bundle is in restricted mode: its leash holds the whole process.
        """
        if not self.mode.full or self.job.max_ram is not None:
            yield from map(self.do, cases)
            return
        stages = Stages(self._opened_if_needed, self._labelled, self._delivered, _drop, _drop)
        yield from stages.results(cases)

    def _is_kept(self, case: Case) -> bool:
        return not self.job.overwrite and is_done(case, self.job.wanted, self.labeller.structures)

    def _labelled(self, case: Case, opened: Callable[[], _Opened | None]) -> _Labelled | Outcome:
        """The case with its labels, not written yet; or what became of it where that is known already."""
        start = perf_counter()
        if self._is_kept(case):
            return Outcome(case, "kept")
        try:
            ready = opened() or self._opened(case)
            try:
                result = self._result(case, ready.staged, Path(ready.scratch.name))
                structures = self.labeller.named(result.labels, ready.staged)
            except BaseException:
                _drop(ready)
                raise
        except Exception as error:  # noqa: BLE001  reported with its trace, by the caller and in failures.json
            return _failed(case, error, perf_counter() - start)
        told, wall_s = self.labeller.told(), perf_counter() - start
        return _Labelled(case, ready.staged, ready.scratch, result, structures, told, wall_s)

    def _delivered(self, labelled: _Labelled | Outcome) -> Outcome:
        """What became of the case, after writing its files."""
        if isinstance(labelled, Outcome):
            return labelled
        start, case, staged = perf_counter(), labelled.case, labelled.staged
        try:
            with labelled.scratch:
                notes = deliver(case, staged, labelled.result, labelled.structures, self.job.wanted)
            _sweep(case.output)
        except Exception as error:  # noqa: BLE001  reported as above
            return _failed(case, error, labelled.wall_s + perf_counter() - start)
        said = tuple(case.said(note) for note in (*staged.notes, *notes, *labelled.told))
        return Outcome(case, "done", labelled.wall_s + perf_counter() - start, notes=said)

    def _opened_if_needed(self, case: Case) -> _Opened | None:
        return None if self._is_kept(case) else self._opened(case)

    def _opened(self, case: Case) -> _Opened:
        if case.problem is not None:
            raise case.problem
        # Below the output, where a bundle in restricted mode may write, and out of every pattern's reach.
        self.job.folder.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=SCRATCH, dir=self.job.folder)
        in_memory, allow = self.job.max_ram is None, self.job.allow
        try:
            staged = stage(
                case, Path(scratch.name), self.labeller.asks.n_channels, allow=allow, in_memory=in_memory
            )
        except BaseException:
            scratch.cleanup()
            raise
        return _Opened(staged, scratch)

    def _result(self, case: Case, staged: Staged, scratch: Path) -> Result:
        with self.mode.kept_in(self.job.folder):
            return self.labeller.result(case, staged, scratch)


def _drop(begun: _Opened | _Labelled | Outcome | None) -> None:
    if isinstance(begun, (_Opened, _Labelled)):
        begun.scratch.cleanup()


def _failed(case: Case, error: Exception, wall_s: float) -> Outcome:
    trace = "" if isinstance(error, MedsegError) else "".join(traceback.format_exception(error))
    return Outcome(case, "failed", wall_s, case.said(one_line(error)), case.said(trace))


def _sweep(output: Path) -> None:
    """Remove what a killed worker left of this case; nobody else works on it."""
    name = re.escape(re.sub(r"(\.nii\.gz|\.[a-z]+)$", "", output.name))
    for path in output.parent.glob(".*.part"):
        if re.fullmatch(rf"\.{name}\..*\d+\.part", path.name):
            path.unlink(missing_ok=True)
