"""What is done to gradients before the optimiser's step: scaled, clipped, accumulated."""

from __future__ import annotations

import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents

from medseg.errors import TrainingError


def steps_now(engine: Engine) -> bool:
    """True where the present iteration ends in a step of the optimiser, and doesn't only accumulate."""
    n_batches = getattr(engine, "accumulation_steps", 1)
    in_epoch = (engine.state.iteration - 1) % engine.state.epoch_length + 1
    return in_epoch % n_batches == 0 or in_epoch == engine.state.epoch_length


def steps_taken(engine: Engine) -> int:
    """Steps of the optimiser up to this iteration; an epoch's last batches make a step of their own."""
    n_batches = getattr(engine, "accumulation_steps", 1)
    epochs, in_epoch = divmod(engine.state.iteration - 1, engine.state.epoch_length)
    return epochs * -(-engine.state.epoch_length // n_batches) + in_epoch // n_batches + 1


class ClipGradients:
    """Shortens the gradient of all weights together to the norm `max_norm` before each step.

    Accumulated gradients are clipped once, when they are whole; those of mixed precision are unscaled first.

    Args:
        max_norm: greatest Euclidean norm, above 0; None leaves gradients alone.

    Raises:
        TrainingError: a norm of 0 or less.
    """

    def __init__(self, max_norm: float | None) -> None:
        if max_norm is not None and max_norm <= 0:
            raise TrainingError(f"clip_gradients {max_norm}", "a norm above 0, or null", "correct it")
        self.max_norm = max_norm

    def attach(self, engine: Engine) -> None:
        """Act between a trainer's backward pass and its step."""
        if self.max_norm is not None:
            engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Clip, if the optimiser is about to step."""
        if steps_now(engine) and self.max_norm is not None:
            if engine.scaler is not None:
                engine.scaler.unscale_(engine.optimizer)
            torch.nn.utils.clip_grad_norm_(engine.network.parameters(), self.max_norm)
