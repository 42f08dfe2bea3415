"""What a run is doing: a bar with loss, score and time left, or plain lines; and history.csv."""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

FIELDS = ["epoch", "step", "seconds", "loss", "learning_rate", "score"]


class Progress:
    """Tells how a run goes and how long it will take, and keeps ``history.csv`` in `folder`.

    Args:
        evaluator: its key metric is shown after each validation.
        folder: where ``history.csv`` goes; a new run starts it anew.
        every: seconds between two lines where there is no terminal.
    """

    def __init__(self, evaluator: Engine, folder: str, every: float = 30.0) -> None:
        self.evaluator, self.folder, self.every = evaluator, Path(folder), every
        self.console = Console(stderr=True)
        self.score = float("nan")
        self._losses: list[float] = []
        self._bar: Bar | None = None
        self._task = TaskID(0)

    def attach(self, engine: Engine) -> None:
        """Follow a trainer from its start to its end."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch)
        engine.add_event_handler(Events.COMPLETED, self._completed)
        engine.add_event_handler(Events.EXCEPTION_RAISED, lambda _, error: self._failed(error))
        self.evaluator.add_event_handler(Events.COMPLETED, self._validated)

    def _start(self, engine: Engine) -> None:
        self._began = self._told = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "history.csv").open("w", newline="") as file:
            csv.writer(file).writerow(FIELDS)
        if self.console.is_terminal:
            columns = (
                TextColumn("training"),
                BarColumn(),
                TextColumn("{task.fields[told]}"),
                TimeRemainingColumn(),
            )
            self._bar = Bar(*columns, console=self.console)
            self._bar.start()
            n_steps = engine.state.max_epochs * engine.state.epoch_length
            self._task = self._bar.add_task("training", total=n_steps, told="")

    def _step(self, engine: Engine) -> None:
        output: Any = engine.state.output
        self._losses.append(float(output[0]["loss"] if isinstance(output, list) else output["loss"]))
        told = self._line(engine)
        if self._bar:
            self._bar.update(self._task, completed=engine.state.iteration, told=told)
        elif time.monotonic() - self._told > self.every:
            self._told = time.monotonic()
            sys.stderr.write(f"training  {told}  {self._left(engine)}\n")

    def _epoch(self, engine: Engine) -> None:
        seconds = time.monotonic() - self._began
        loss = sum(self._losses) / max(1, len(self._losses))
        rate = engine.optimizer.param_groups[0]["lr"]
        row = [
            engine.state.epoch,
            engine.state.iteration,
            f"{seconds:.1f}",
            f"{loss:.5f}",
            f"{rate:.3g}",
            f"{self.score:.5f}",
        ]
        with (self.folder / "history.csv").open("a", newline="") as file:
            csv.writer(file).writerow(row)
        self._losses.clear()

    def _validated(self, evaluator: Engine) -> None:
        name = evaluator.state.key_metric_name
        self.score = float(evaluator.state.metrics[name])
        parts = getattr(evaluator.state, "per_structure", {})
        detail = "  ".join(f"{structure} {value:.4f}" for structure, value in parts.items())
        self.console.print(f"validation  {name} {self.score:.4f}  {detail}", highlight=False)

    def _completed(self) -> None:
        if self._bar:
            self._bar.stop()

    def _failed(self, error: BaseException) -> None:
        self._completed()
        raise error

    def _line(self, engine: Engine) -> str:
        recent, state = self._losses[-50:], engine.state
        loss = sum(recent) / len(recent)
        return f"epoch {state.epoch}/{state.max_epochs}  loss {loss:.3f}  score {self.score:.4f}"

    def _left(self, engine: Engine) -> str:
        done = engine.state.iteration
        left = (
            (time.monotonic() - self._began)
            / done
            * (engine.state.max_epochs * engine.state.epoch_length - done)
        )
        return f"{left / 60:.0f} min left"
