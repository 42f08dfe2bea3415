"""The same numbers as in ``history.csv``, for those who look at runs in TensorBoard or MLflow."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from ignite.engine import Engine, Events

from medseg.errors import TrainingError
from medseg.training.memory import remember
from medseg.training.processes import is_main


class Tracker(Protocol):
    """Takes a row of the history after each epoch."""

    def write(self, row: dict[str, float]) -> None:
        """Keep the row's numbers under its step."""

    def close(self, status: str) -> None:
        """Write out what is left: ``FINISHED`` or ``FAILED``."""


class TensorBoard:
    """Event files in ``folder/tensorboard``; a run that goes on hides what the killed one wrote later."""

    def __init__(self, folder: Path, known: dict[str, str], step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        del known
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def write(self, row: dict[str, float]) -> None:
        """One scalar per column, by step."""
        for name, value in _numbers(row).items():
            self.writer.add_scalar(name, value, int(row["step"]))
        self.writer.flush()

    def close(self, status: str) -> None:
        """Close the event file."""
        del status
        self.writer.close()


class MLflow:
    """A run in ``folder/mlflow.db`` (SQLite); one that goes on writes into the same MLflow run.

    MLflow's own telemetry, which tells its makers of each run, is switched off in this process.
    """

    def __init__(self, folder: Path, known: dict[str, str], step: int) -> None:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        try:
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise TrainingError(
                "the tracker mlflow without MLflow", "the package", "pip install 'medseg[mlflow]'"
            ) from error
        del step
        for noisy in ("alembic", "mlflow.store.db.utils"):  # a line for each of a hundred tables
            logging.getLogger(noisy).setLevel(logging.WARNING)
        folder.mkdir(parents=True, exist_ok=True)
        self.client = MlflowClient(f"sqlite:///{(folder / 'mlflow.db').resolve()}")
        if "mlflow" not in known:
            found = self.client.get_experiment_by_name("medseg")
            number = found.experiment_id if found else self.client.create_experiment("medseg")
            known["mlflow"] = self.client.create_run(number, run_name=folder.name).info.run_id
        self.run_id = known["mlflow"]
        self.client.set_terminated(self.run_id, "RUNNING")

    def write(self, row: dict[str, float]) -> None:
        """One metric per column, by step."""
        for name, value in _numbers(row).items():
            self.client.log_metric(self.run_id, name.replace(" ", "_"), value, step=int(row["step"]))

    def close(self, status: str) -> None:
        """Say how the run ended."""
        self.client.set_terminated(self.run_id, status)


KINDS: dict[str, Callable[[Path, dict[str, str], int], Tracker]] = {
    "mlflow": MLflow,
    "tensorboard": TensorBoard,
}


class Trackers:
    """Sends each epoch's row of the `History`, which must come before it, to the named trackers.

    Args:
        names: any of ``tensorboard`` and ``mlflow``.
        folder: where they keep their files.

    Raises:
        TrainingError: an unknown name.
    """

    def __init__(self, names: Sequence[str], folder: str) -> None:
        unknown = [name for name in names if name not in KINDS]
        if unknown:
            raise TrainingError(f"tracker {unknown[0]!r}", f"any of {', '.join(KINDS)}", "correct `trackers`")
        self.names, self.folder = list(names), Path(folder)
        self.known: dict[str, str] = {}
        self._open: list[Tracker] | None = None

    def attach(self, engine: Engine) -> None:
        """Follow a trainer; only the main process tracks."""
        if not self.names or not is_main():
            return
        remember(engine, "trackers", self)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch)
        engine.add_event_handler(Events.COMPLETED, self._close, "FINISHED")
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._failed)

    def state_dict(self) -> dict[str, Any]:
        """Under which number each tracker knows this run."""
        return dict(self.known)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on under the same numbers."""
        self.known = dict(state_dict)

    def _start(self, engine: Engine) -> None:
        if self._open is None:
            self._open = [KINDS[name](self.folder, self.known, engine.state.iteration) for name in self.names]

    def _epoch(self, engine: Engine) -> None:
        for tracker in self._open or []:
            tracker.write(engine.state.history.rows[-1])

    def _close(self, status: str) -> None:
        for tracker in self._open or []:
            tracker.close(status)
        self._open = None

    def _failed(self, _: BaseException) -> None:
        self._close("FAILED")


def _numbers(row: dict[str, float]) -> dict[str, float]:
    return {n: float(v) for n, v in row.items() if n not in ("epoch", "step") and not math.isnan(v)}
