"""What a run did, epoch by epoch, as a table and as a picture."""

from __future__ import annotations

import csv
import io
import math
import time
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from medseg.training.checkpoints import write_text
from medseg.training.curves import curves_svg
from medseg.training.guards import loss_of
from medseg.training.memory import remember
from medseg.training.processes import is_main

Row = dict[str, float]
COLUMNS = ("epoch", "step", "loss", "learning_rate", "score")


class History:
    """Keeps ``history.csv``, ``curves.svg`` and ``times.csv`` in `folder`, whole after every epoch.

    ``history.csv`` has a row per epoch: epoch, step, mean loss, last learning rate, and where the epoch was
    validated the score and the Dice of each structure. It holds no times, so that a resumed run's is equal to
    an uninterrupted one's to the last digit; those are in ``times.csv``.

    Args:
        evaluator: its key metric is the score.
        folder: where the files go; a run that isn't resumed starts them anew.
    """

    def __init__(self, evaluator: Engine, folder: str) -> None:
        self.evaluator, self.folder = evaluator, Path(folder)
        self.rows: list[Row] = []
        self.seconds: list[float] = []
        self._losses: list[float] = []
        self._scores: Row = {}
        self._before_s, self._began = 0.0, time.time()

    def attach(self, engine: Engine) -> None:
        """Follow a trainer and its validations; register it after the handler that validates."""
        remember(engine, "history", self)
        engine.state.history = self
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch)
        self.evaluator.add_event_handler(Events.COMPLETED, self._validated)

    def state_dict(self) -> dict[str, Any]:
        """All rows, and the losses of the epoch that has begun."""
        used = self._before_s + time.time() - self._began
        return {"rows": self.rows, "seconds": self.seconds, "losses": self._losses, "used_s": used}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.rows, self.seconds = list(state_dict["rows"]), list(state_dict["seconds"])
        self._losses, self._before_s = list(state_dict["losses"]), state_dict["used_s"]

    def _step(self, engine: Engine) -> None:
        self._losses.append(loss_of(engine))

    def _validated(self, evaluator: Engine) -> None:
        score = float(evaluator.state.metrics[evaluator.state.key_metric_name])
        self._scores = {"score": score, **getattr(evaluator.state, "per_structure", {})}

    def _epoch(self, engine: Engine) -> None:
        row: Row = {
            "epoch": engine.state.epoch,
            "step": engine.state.iteration,
            "loss": sum(self._losses) / max(1, len(self._losses)),
            "learning_rate": engine.optimizer.param_groups[0]["lr"],
        }
        self.rows.append(row | self._scores)
        self.seconds.append(round(self._before_s + time.time() - self._began, 1))
        self._losses, self._scores = [], {}
        if is_main():
            self._write()

    def _write(self) -> None:
        times = [
            {"epoch": row["epoch"], "seconds": s} for row, s in zip(self.rows, self.seconds, strict=True)
        ]
        files = {
            "history.csv": table(self.rows),
            "times.csv": table(times, ("epoch", "seconds")),
            "curves.svg": curves_svg(self.rows),
        }
        for name, text in files.items():
            write_text(self.folder / name, text)


def table(rows: list[Row], columns: tuple[str, ...] = COLUMNS) -> str:
    """Rows as CSV with every digit, so that equal text means equal numbers; absent or NaN is empty."""
    names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        values = [row.get(name, math.nan) for name in names]
        writer.writerow(["" if math.isnan(value) else repr(value) for value in values])
    return out.getvalue()
