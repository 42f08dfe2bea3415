"""Stops a run that would only waste the night."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events

from medseg.errors import TrainingError


class StopWhenNotFinite:
    """Stops the run at the first loss or weight that is no finite number, and names the cases of the batch.

    It must come before the handlers that average or save weights, so that what they keep stays good.
    """

    def attach(self, engine: Engine) -> None:
        """Look at every finished step of a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Look at the step's loss and at the weights that it left."""
        loss = loss_of(engine)
        if not math.isfinite(loss):
            self._stop(engine, f"a loss of {loss}", "a finite loss")
        weights = list(engine.network.parameters())
        largest = torch.stack([norm.float() for norm in torch._foreach_norm(weights, float("inf"))])
        if not bool(torch.isfinite(largest).all()):
            names = [name for name, _ in engine.network.named_parameters()]
            broken = names[int((~torch.isfinite(largest)).nonzero()[0])]
            self._stop(engine, f"weights of {broken} that are not finite", "finite weights")

    def _stop(self, engine: Engine, found: str, expected: str) -> None:
        raise TrainingError(
            f"{found} at step {engine.state.iteration} with {cases_of(engine.state.batch)}",
            expected,
            "look at these cases (`medseg data check`) or lower learning_rate; the last checkpoint is good",
        )


def loss_of(engine: Engine) -> float:
    """The loss of the step that a trainer has just finished."""
    output: Any = engine.state.output
    return float(output[0]["loss"] if isinstance(output, list) else output["loss"])


def cases_of(batch: Any) -> str:
    """The cases of a batch in words, each once, whether the batch is whole or taken apart."""
    items = batch if isinstance(batch, list) else [batch]
    names: list[str] = []
    for item in items:
        case = item.get("case", []) if isinstance(item, Mapping) else []
        names.extend(case if isinstance(case, (list, tuple)) else [case])
    told = ", ".join(dict.fromkeys(map(str, names)))
    return f"the cases {told}" if told else "cases that carry no name"
