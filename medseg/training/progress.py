"""What a run is doing: a bar with loss, score and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque

from ignite.engine import Engine, Events
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from medseg.training.budget import WITHOUT_END, Budget
from medseg.training.guards import loss_of
from medseg.training.processes import is_main

PARTS = 1000


class Progress:
    """Tells how a run goes and how long it will take.

    Args:
        evaluator: its key metric is shown after each validation.
        every: seconds between two lines where there is no terminal.
        console: where to tell it; stderr if left out.
    """

    def __init__(self, evaluator: Engine, every: float = 30.0, console: Console | None = None) -> None:
        self.evaluator, self.every = evaluator, every
        self.console = Console(stderr=True) if console is None else console
        self.score: float | None = None
        self._told_grid = False
        self._losses: deque[float] = deque(maxlen=50)
        self._bar: Bar | None = None
        self._task = TaskID(0)

    def attach(self, engine: Engine) -> None:
        """Follow a trainer from its start to its end; only the main process tells."""
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._failed)
        if not is_main():
            return
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.COMPLETED, self._completed)
        self.evaluator.add_event_handler(Events.COMPLETED, self._validated)

    def _start(self) -> None:
        self._began = self._told = time.monotonic()
        if self.console.is_terminal:
            columns = (
                TextColumn("training"),
                BarColumn(),
                TextColumn("{task.fields[told]}"),
            )
            self._bar = Bar(*columns, console=self.console)
            self._bar.start()
            self._task = self._bar.add_task("training", total=PARTS, told="")

    def _step(self, engine: Engine) -> None:
        if not self._losses:
            self._first_step = engine.state.iteration - 1  # above 0 in a run that goes on
        self._losses.append(loss_of(engine))
        told = f"{self._line(engine)}  {self._left(engine)}"
        if self._bar:
            self._bar.update(self._task, completed=PARTS * self._share(engine), told=told)
        elif time.monotonic() - self._told > self.every:
            self._told = time.monotonic()
            sys.stderr.write(f"training  {told}\n")

    def _validated(self, evaluator: Engine) -> None:
        name = evaluator.state.key_metric_name
        self.score = float(evaluator.state.metrics[name])
        parts = getattr(evaluator.state, "per_structure", {})
        detail = "  ".join(f"{structure} {value:.4f}" for structure, value in parts.items())
        self.console.print(f"validation  {name} {self.score:.4f}  {detail}", highlight=False)

        if not getattr(evaluator.state, "is_native", True) and not self._told_grid:
            self._told_grid = True
            self.console.print(
                "validation  these scores are on the network's grid, not on the scans' own; "
                "`medseg evaluate` scores written files",
                highlight=False,
                soft_wrap=True,
            )

    def _completed(self, engine: Engine) -> None:
        self._stop_bar()
        if getattr(engine.state, "ended", ""):
            sys.stderr.write(
                f"training  ended after epoch {engine.state.epoch}, step {engine.state.iteration}: "
                f"{engine.state.ended}\n"
            )

    def _failed(self, _: Engine, error: BaseException) -> None:
        self._stop_bar()
        raise error

    def _stop_bar(self) -> None:
        if self._bar:
            self._bar.stop()

    def _line(self, engine: Engine) -> str:
        state, loss = engine.state, sum(self._losses) / len(self._losses)
        of_all = "" if state.max_epochs >= WITHOUT_END else f"/{state.max_epochs}"
        score = "not validated yet" if self.score is None else f"score {self.score:.4f}"
        return f"epoch {state.epoch}{of_all}  loss {loss:.3f}  {score}"

    def _share(self, engine: Engine) -> float:
        state = engine.state
        if isinstance(getattr(state, "budget", None), Budget):
            return float(state.progress)
        return float(state.iteration / (state.max_epochs * state.epoch_length))

    def _left(self, engine: Engine) -> str:
        state = engine.state
        budget = getattr(state, "budget", None)
        if isinstance(budget, Budget):
            left = max(0.0, budget.left_s(engine))
        else:
            n_done = state.iteration - self._first_step
            n_left = state.max_epochs * state.epoch_length - state.iteration
            left = (time.monotonic() - self._began) / n_done * n_left
        return f"{left / 60:.0f} min left" if left >= 90 else f"{left:.0f} s left"
