"""A second set of weights that follows the trained one slowly, and predicts better than it."""

from __future__ import annotations

import copy

import torch
from ignite.engine import Engine, Events
from torch import nn

from medseg.training.gradients import steps_now, steps_taken


def averaged_copy(network: nn.Module) -> nn.Module:
    """A frozen copy of `network` with the same weights, in evaluation mode, to be fed by `AverageWeights`."""
    averaged = copy.deepcopy(network).eval()
    return averaged.requires_grad_(False)


class AverageWeights:
    """Moves the averaged weights towards the trained ones after every step: an exponential moving average.

    The decay starts low, ``(1 + step) / (10 + step)``, so that a short run isn't held back by its random
    start (the warm-up of TensorFlow's ExponentialMovingAverage). Buffers are copied as they are.

    Args:
        network: the network that the optimiser changes.
        averaged: its `averaged_copy`.
        decay: share of the old average kept at each step, in [0, 1).
    """

    def __init__(self, network: nn.Module, averaged: nn.Module, decay: float = 0.999) -> None:
        self.network, self.averaged, self.decay = network, averaged, decay

    def attach(self, engine: Engine) -> None:
        """Follow every finished step of a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    @torch.no_grad()
    def __call__(self, engine: Engine) -> None:
        """Take one step of the average, if the optimiser took one."""
        if not steps_now(engine):
            return
        step = steps_taken(engine)
        decay = min(self.decay, (1 + step) / (10 + step))
        targets, sources = list(self.averaged.parameters()), list(self.network.parameters())
        torch._foreach_lerp_(targets, sources, 1 - decay)
        for target, source in zip(self.averaged.buffers(), self.network.buffers(), strict=True):
            target.copy_(source)
