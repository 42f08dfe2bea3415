"""How far a run is: by its steps, or by the time that it was given."""

from __future__ import annotations

import re
import time
from typing import Any

from ignite.engine import Engine, Events

from medseg.errors import TrainingError
from medseg.training.memory import remember
from medseg.training.processes import agreed

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
WITHOUT_END = 10**9
OVERRUN = 1.15
"""What is set aside for the last validation, as a multiple of the one before: machines are shared."""


def seconds(duration: str | float) -> float:
    """The seconds of ``90``, ``90s``, ``45m``, ``1.5h`` or ``1h30m``.

    Raises:
        TrainingError: not a duration above zero.

    >>> seconds("1h30m")
    5400.0
    """
    text = str(duration).strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", text)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        total = float(text)
    elif parts and "".join(number + unit for number, unit in parts) == text.replace(" ", ""):
        total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    else:
        total = 0.0
    if total <= 0:
        raise TrainingError(
            f"budget {duration!r}", "a time such as 45m, 1.5h, 1h30m or 600s", "correct the budget"
        )
    return total


def progress_of(engine: Engine) -> float:
    """The share of the run that is done at the middle of the present step, in [0, 1]."""
    known: float | None = getattr(engine.state, "progress", None)
    if known is not None:
        return known
    return min(1.0, (engine.state.iteration - 0.5) / (engine.state.max_epochs * engine.state.epoch_length))


def end_run(engine: Engine, why: str) -> None:
    """Let the present epoch be the last one: it is validated and saved as any other."""
    engine.state.max_epochs = engine.state.epoch
    engine.state.ended = why


def _why(engine: Engine) -> str:
    """What is told at the end of a budget; a budget that the start ate has bought nothing."""
    if engine.state.iteration != 1:
        return "its budget is used"
    return "its budget went into reading the data: after a single step these weights are worth nothing"


class Budget:
    """Sets ``engine.state.progress`` before every step, and ends the run when its time is used.

    Without a budget progress counts steps. With one, ``max_epochs`` counts for nothing: steps are timed, the
    last validation's time is set aside, and the step after which another one wouldn't fit is the last. A
    schedule that follows progress therefore ends on the budget. It must be the first of the handlers.

    Args:
        budget: a duration (see `seconds`), or None.
        began: when the budget's clock started, as ``time.time()`` gives it; None: when this is made.
        aside_s: seconds kept for what comes after the last validation; a hundredth of the budget if None.
    """

    def __init__(
        self, budget: str | float | None = None, began: float | None = None, aside_s: float | None = None
    ) -> None:
        self.total_s = None if budget is None else seconds(budget)
        self.began = time.time() if began is None else began
        self.aside_s = 0.01 * (self.total_s or 0.0) if aside_s is None else aside_s
        self._before_s = self._step_s = 0.0
        self._step_began = time.time()

    def attach(self, engine: Engine) -> None:
        """Follow every step of a trainer; nothing to time where there is no budget."""
        if self.total_s is None:
            return
        remember(engine, "budget", self)
        engine.state.budget = self
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_STARTED, self._before_step)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._after_step)

    def state_dict(self) -> dict[str, Any]:
        """The time used so far."""
        return {"used_s": self.used_s()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Count the time used by the run that goes on."""
        self._before_s = float(state_dict["used_s"])

    def used_s(self) -> float:
        """Seconds since the clock started, and those of the run that this one continues."""
        return self._before_s + time.time() - self.began

    def left_s(self, engine: Engine) -> float:
        """Seconds left for steps: what isn't used, less the last validation, with a margin."""
        assert self.total_s is not None
        validation_s = OVERRUN * getattr(engine.state, "validation_s", 0.0)
        return self.total_s - self.aside_s - validation_s - self.used_s()

    def _start(self, engine: Engine) -> None:
        if not getattr(engine.state, "ended", ""):
            engine.state.max_epochs = WITHOUT_END
        self._step_began = time.time()

    def _before_step(self, engine: Engine) -> None:
        left, used = self.left_s(engine), self.used_s()
        engine.state.progress = agreed(min(1.0, (used + self._step_s / 2) / max(used + left, 1e-9)))

    def _after_step(self, engine: Engine) -> None:
        now = time.time()
        last, self._step_began = now - self._step_began, now
        # The mean of the last few steps: one slow step must not end a run.
        self._step_s = last if not self._step_s else 0.8 * self._step_s + 0.2 * last
        if agreed(self.left_s(engine)) < agreed(self._step_s):
            engine.state.progress = 1.0
            end_run(engine, _why(engine))
            if engine.state.iteration % engine.state.epoch_length:
                engine.terminate_epoch()

    def has_room_for(self, engine: Engine, spent_s: float) -> bool:
        """True where, after `spent_s` more seconds, a step and the last validation still fit."""
        return agreed(self.left_s(engine) - spent_s) >= agreed(self._step_s)

    def validated(self, engine: Engine, spent_s: float) -> None:
        """Take note of a validation: no part of a step, and the last one where no step fits any more."""
        self._step_began += spent_s
        if not getattr(engine.state, "ended", "") and not self.has_room_for(engine, 0.0):
            engine.state.progress = 1.0
            end_run(engine, _why(engine))
