"""A worker that dies as it is told; a module of its own, because other processes import it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medseg.distributed import cross_validation
from medseg.distributed.cross_validation import Done, Fold
from medseg.distributed.folds import Trainer
from medseg.distributed.job import Job
from medseg.distributed.scoring import Pair, Scorer
from medseg.distributed.worker import Worker
from medseg.evaluation.cases import CaseResult, Protocol
from medseg.inference.cases import Case
from medseg.inference.cohort import Outcome
from tests.distributed.squares import die_once


class MortalWorker(Worker):
    """A worker that is killed in the middle of one case, after its first file is written."""

    def __init__(self, job: Job, victim: str, marker: Path, n_threads: int) -> None:
        super().__init__(job, n_threads)
        self.victim, self.marker = victim, marker

    def do(self, case: Case) -> Outcome:
        self.case = case
        return super().do(case)

    def _result(self, *arguments: Any) -> Any:
        if self.case.name == self.victim:
            (self.case.output.parent / f".{self.case.output.name}.1.part").write_bytes(b"half a file")
            die_once(self.marker)
        return super()._result(*arguments)


class MortalTrainer(Trainer):
    """A trainer that is killed once its fold is trained and nothing of it is predicted yet."""

    def __init__(self, victim: int, marker: Path, n_threads: int) -> None:
        super().__init__(n_threads)
        self.victim, self.marker = victim, marker

    def do(self, task: Fold) -> Done:
        if task.training.fold == self.victim:
            keep = cross_validation._keep_last_weights

            def dying(bundle: Path) -> None:
                die_once(self.marker)
                keep(bundle)

            cross_validation._keep_last_weights = dying
        return super().do(task)


class MortalScorer(Scorer):
    """A scorer that is killed over one case, before its scores are given."""

    def __init__(self, protocol: Protocol, victim: str, marker: Path, n_threads: int) -> None:
        super().__init__(protocol, n_threads)
        self.victim, self.marker = victim, marker

    def do(self, pair: Pair) -> CaseResult:
        found = super().do(pair)
        if self.victim in pair[1][0].name:
            die_once(self.marker)
        return found
