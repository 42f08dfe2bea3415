"""Scoring spread over the machines of a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from medseg.distributed.spread import LOST, Work, results_of
from medseg.evaluation.cases import CaseResult, Protocol, score_case
from medseg.evaluation.matching import Reference

Pair = tuple[Reference, tuple[Path, ...]]


class Scorer:
    """Scores pairs of files by one protocol."""

    def __init__(self, protocol: Protocol, n_threads: int = 0) -> None:
        if n_threads:
            os.environ["OMP_NUM_THREADS"] = str(n_threads)
        self.protocol = protocol

    def do(self, pair: Pair) -> CaseResult:
        """The scores of one case."""
        return score_case(pair, self.protocol)


def scored_on_ray(
    pairs: Sequence[Pair], protocol: Protocol, *, address: str, n_workers: int = 0
) -> Iterator[CaseResult]:
    """The result of every pair as it comes; the files must lie where every machine sees them."""
    work = Work(partial(Scorer, protocol), pairs, _lost)
    return results_of(work, n_workers=n_workers, ray_address=address)


def _lost(pair: Pair) -> CaseResult:
    return CaseResult(pair[0], "error:worker", LOST)
