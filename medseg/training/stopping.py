"""Ends a run whose score has stopped rising."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events

from medseg.errors import TrainingError
from medseg.training.budget import end_run
from medseg.training.memory import remember
from medseg.training.schedule import Patience


class EarlyStopping:
    """Ends the run after more than `patience` validations in a row without a better score.

    The epoch is finished, saved and written down as any other. MONAI's handler of this kind forgets its count
    when a run is resumed; this one doesn't.

    Args:
        evaluator: its key metric is the score; higher is better, NaN never is.
        patience: validations without a rise that are borne; None never stops.
        min_delta: what counts as a rise.

    Raises:
        TrainingError: a patience below 0.
    """

    def __init__(self, evaluator: Engine, patience: int | None = None, min_delta: float = 0.0) -> None:
        if patience is not None and patience < 0:
            raise TrainingError(f"patience {patience}", "0 or more, or null", "correct it")
        self.evaluator = evaluator
        self.patience = None if patience is None else Patience(patience, min_delta)

    def attach(self, engine: Engine) -> None:
        """Follow a trainer and its validations."""
        if self.patience is not None:
            remember(engine, "early_stopping", self)
            self.evaluator.add_event_handler(Events.COMPLETED, self._validated, engine)

    def state_dict(self) -> dict[str, Any]:
        """The best score and the validations since."""
        assert self.patience is not None
        return self.patience.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        assert self.patience is not None
        self.patience.load_state_dict(state_dict)

    def _validated(self, evaluator: Engine, trainer: Engine) -> None:
        assert self.patience is not None
        score = float(evaluator.state.metrics[evaluator.state.key_metric_name])
        if self.patience.is_over(score):
            end_run(trainer, f"no better score in {self.patience.n_without} validations")
