"""Learning rates as a function of progress, so that a run of any length ends its schedule."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from typing import Any

from ignite.engine import Engine, Events
from torch.optim import Optimizer

from medseg.errors import TrainingError
from medseg.training.budget import progress_of
from medseg.training.memory import remember


def constant(_: float) -> float:
    """Always 1."""
    return 1.0


def cosine(progress: float, *, end: float = 0.0) -> float:
    """Half a cosine from 1 to `end` (Loshchilov 2017, arXiv:1608.03983, equation 5)."""
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * progress))


def poly(progress: float, *, power: float = 0.9) -> float:
    """``(1 - progress) ** power`` (Chen 2017, arXiv:1606.00915, section 4.1.1)."""
    return (1 - progress) ** power


def one_cycle(progress: float, *, rise: float = 0.3, start: float = 0.04, end: float = 4e-6) -> float:
    """Up from `start` to 1 over the share `rise`, then down to `end`, each by half a cosine.

    Smith 2019, arXiv:1708.07120; the default shares are those of ``torch.optim.lr_scheduler.OneCycleLR``.
    """
    if progress < rise:
        return start + (1 - start) * 0.5 * (1 - math.cos(math.pi * progress / rise))
    return cosine((progress - rise) / (1 - rise), end=end)


def step(progress: float, *, milestones: Sequence[float] = (0.5, 0.75), factor: float = 0.1) -> float:
    """`factor` once more after each of the `milestones`, which are shares of the run."""
    return float(factor ** bisect.bisect_right(sorted(milestones), progress))


SHAPES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "cosine": cosine,
    "one_cycle": one_cycle,
    "plateau": constant,  # `LearningRate` lowers it when the score stops rising
    "poly": poly,
    "step": step,
}
"""Share of the peak rate at a progress in [0, 1], with its options."""


def rate_at(progress: float, *, peak: float, shape: str, warmup: float, **options: Any) -> float:
    """The learning rate at a progress in [0, 1]: a linear rise over the share `warmup`, then `shape`.

    >>> rate_at(0.5, peak=1.0, shape="cosine", warmup=0.0)
    0.5
    """
    if progress < warmup:
        return peak * progress / warmup
    return peak * SHAPES[shape](min(1.0, (progress - warmup) / (1 - warmup)), **options)


class LearningRate:
    """Sets the optimiser's learning rate before every step from the share of the run that is done.

    Args:
        optimizer: every parameter group gets the rate; a group's own ``scale`` multiplies it.
        peak: the highest rate.
        shape: ``constant``, ``cosine``, ``one_cycle``, ``plateau``, ``poly`` or ``step``.
        warmup: share of the run over which the rate rises from zero, in [0, 1).
        evaluator: for ``plateau`` alone: its key metric is what must rise.
        options: of the shape: ``power`` of poly; ``end`` of cosine; ``rise``, ``start``, ``end`` of
            one_cycle; ``milestones``, ``factor`` of step; ``factor`` (0.5), ``patience`` (5 validations),
            ``min_delta`` (0) and ``lowest`` (0, share of the peak) of plateau.

    Raises:
        TrainingError: an unknown shape or option, a warm-up outside [0, 1), a plateau without an evaluator.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        peak: float,
        shape: str = "cosine",
        warmup: float = 0.0,
        evaluator: Engine | None = None,
        **options: Any,
    ) -> None:
        if shape not in SHAPES:
            raise _wrong(f"schedule {shape!r}", f"one of {', '.join(SHAPES)}")
        if not 0 <= warmup < 1:
            raise _wrong(f"warmup {warmup}", "a share of the run, at least 0 and below 1")
        if shape == "plateau" and evaluator is None:
            raise _wrong("shape plateau without evaluator", "the evaluator whose score must rise")
        self.plateau = Plateau(**_plateau_options(options)) if shape == "plateau" else None
        self.options = {} if shape == "plateau" else options
        self.optimizer, self.peak, self.shape, self.warmup = optimizer, peak, shape, warmup
        self.evaluator = evaluator
        try:
            SHAPES[shape](0.5, **self.options)
        except TypeError as error:
            raise _wrong(f"options {options} of {shape}", f"options that it has ({error})") from None

    def attach(self, engine: Engine) -> None:
        """Act before every step of a trainer, and on a plateau after every validation."""
        engine.add_event_handler(Events.ITERATION_STARTED, self)
        if self.plateau is not None and self.evaluator is not None:
            remember(engine, "plateau", self.plateau)
            self.evaluator.add_event_handler(Events.COMPLETED, self._validated)

    def __call__(self, engine: Engine) -> None:
        """Set the rate of the step that begins; the first step already has a rate above zero."""
        rate = rate_at(
            progress_of(engine), peak=self.peak, shape=self.shape, warmup=self.warmup, **self.options
        )
        if self.plateau is not None:
            rate *= self.plateau.share
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)

    def _validated(self, evaluator: Engine) -> None:
        assert self.plateau is not None
        self.plateau.see(float(evaluator.state.metrics[evaluator.state.key_metric_name]))


class Plateau:
    """The share of the rate that is left: lowered each time the score hasn't risen for a while.

    Args:
        factor: multiplies the share.
        patience: validations without a rise that are borne; the next one lowers the share.
        min_delta: what counts as a rise.
        lowest: the share never falls below it.
    """

    def __init__(
        self, factor: float = 0.5, patience: int = 5, min_delta: float = 0.0, lowest: float = 0.0
    ) -> None:
        self.factor, self.lowest, self.share = factor, lowest, 1.0
        self.patience = Patience(patience, min_delta)

    def see(self, score: float) -> None:
        """Take the score of one validation."""
        if self.patience.is_over(score):
            self.share = max(self.lowest, self.share * self.factor)
            self.patience.n_without = 0

    def state_dict(self) -> dict[str, Any]:
        """The share and the patience."""
        return {"share": self.share, "patience": self.patience.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.share = state_dict["share"]
        self.patience.load_state_dict(state_dict["patience"])


class Patience:
    """Counts validations since the score last rose by more than `min_delta`; NaN is no rise."""

    def __init__(self, n_borne: int, min_delta: float = 0.0) -> None:
        self.n_borne, self.min_delta = n_borne, min_delta
        self.best, self.n_without = float("-inf"), 0

    def is_over(self, score: float) -> bool:
        """True when more validations than are borne went by without a rise."""
        if score > self.best + self.min_delta:
            self.best, self.n_without = score, 0
        else:
            self.n_without += 1
        return self.n_without > self.n_borne

    def state_dict(self) -> dict[str, Any]:
        """The best score and the count."""
        return {"best": self.best, "n_without": self.n_without}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.best, self.n_without = state_dict["best"], state_dict["n_without"]


def _plateau_options(options: dict[str, Any]) -> dict[str, Any]:
    unknown = set(options) - {"factor", "patience", "min_delta", "lowest"}
    if unknown:
        raise _wrong(f"options {sorted(unknown)} of plateau", "factor, patience, min_delta or lowest")
    return options


def _wrong(found: str, expected: str) -> TrainingError:
    return TrainingError(found, expected, "correct LearningRate in train.yaml")
