"""Learning rates as a function of progress, so that a run of any length ends its schedule."""

from __future__ import annotations

import math
from collections.abc import Callable

from ignite.engine import Engine, Events
from torch.optim import Optimizer

from medseg.errors import TrainingError


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def _poly(progress: float) -> float:
    return (1 - progress) ** 0.9


SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "cosine": _cosine,  # Loshchilov 2017, arXiv:1608.03983, equation 5
    "poly": _poly,  # Chen 2017, arXiv:1606.00915, section 4.1.1
}
"""Share of the peak rate at a progress in [0, 1]."""


def rate_at(progress: float, *, peak: float, shape: str, warmup: float) -> float:
    """The learning rate at a progress in [0, 1]: a linear rise over the share `warmup`, then `shape`.

    >>> rate_at(0.5, peak=1.0, shape="cosine", warmup=0.0)
    0.5
    """
    if progress < warmup:
        return peak * progress / warmup
    return peak * SHAPES[shape](min(1.0, (progress - warmup) / (1 - warmup)))


class LearningRate:
    """Sets the optimiser's learning rate before every step from the share of the run that is done.

    Args:
        optimizer: every parameter group gets the rate; a group's own ``scale`` multiplies it.
        peak: the highest rate.
        shape: ``constant``, ``cosine`` or ``poly``.
        warmup: share of the run over which the rate rises from zero.

    Raises:
        TrainingError: an unknown shape.
    """

    def __init__(self, optimizer: Optimizer, peak: float, shape: str = "cosine", warmup: float = 0.0) -> None:
        if shape not in SHAPES:
            known = ", ".join(SHAPES)
            raise TrainingError(f"schedule {shape!r}", f"one of {known}", "correct `shape` in train.yaml")
        self.optimizer, self.peak, self.shape, self.warmup = optimizer, peak, shape, warmup

    def attach(self, engine: Engine) -> None:
        """Act before every step of a trainer."""
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Set the rate of the step that begins; the first step already has a rate above zero."""
        n_steps = engine.state.max_epochs * engine.state.epoch_length
        progress = (engine.state.iteration - 0.5) / n_steps
        rate = rate_at(progress, peak=self.peak, shape=self.shape, warmup=self.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
