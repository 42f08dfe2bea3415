"""Folds of a cross-validation spread over processes or a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from medseg.distributed.cross_validation import Done, Fold, do_fold
from medseg.distributed.spread import LOST, Work, results_of
from medseg.errors import TrainingError


class Trainer:
    """Trains folds, one at a time; one that a killed worker began goes on from its last checkpoint."""

    def __init__(self, n_threads: int = 0) -> None:
        if n_threads:
            import torch

            torch.set_num_threads(n_threads)

    def do(self, task: Fold) -> Done:
        """The fold's number and the outcomes of its cases."""
        began_here = task.training.target.is_dir() and not task.overwrite
        return do_fold(replace(task, resume=True) if began_here else task)


def spread_folds(tasks: Sequence[Fold], *, n_workers: int = 1, ray_address: str = "") -> Iterator[Done]:
    """Each fold's number and outcomes as it is done, as `results_of` spreads them.

    Raises:
        TrainingError: a fold's workers were lost again and again.
    """
    return results_of(Work(Trainer, tasks, _lost), n_workers=n_workers, ray_address=ray_address)


def _lost(task: Fold) -> Done:
    raise TrainingError(f"fold {task.training.fold}: {LOST}", "a worker that lives", "look at its memory")
