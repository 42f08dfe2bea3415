"""Stops a run that would only waste the night."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events

from medseg.errors import TrainingError


class StopWhenNotFinite:
    """Stops the run at the first loss that is not a number or infinite, and names the cases of the batch."""

    def attach(self, engine: Engine) -> None:
        """Look at every finished step of a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Look at the step's loss."""
        output = engine.state.output
        loss = float(output[0]["loss"] if isinstance(output, list) else output["loss"])
        if not math.isfinite(loss):
            raise TrainingError(
                f"a loss of {loss} at step {engine.state.iteration} with {_cases(engine.state.batch)}",
                "a finite loss",
                "check these cases (`medseg data check`) or lower learning_rate; checkpoints are unharmed",
            )


def _cases(batch: Any) -> str:
    names = batch.get("case", []) if isinstance(batch, Mapping) else []
    return f"the cases {', '.join(map(str, names))}" if names else "cases that carry no name"
