"""The best and the last weights on disk, never half written, and all that a killed run needs to go on."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch
from ignite.engine import Engine, Events
from torch import nn

from medseg.errors import OutputError, TrainingError
from medseg.hashes import file_hash
from medseg.training.gradients import steps_now
from medseg.training.memory import parts_of, remember
from medseg.training.processes import is_main
from medseg.training.randomness import generator_states, set_generator_states
from medseg.training.sampling import Visits


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file under a temporary name, and rename it to `path` when it is safe on the disk.

    A crash, a kill or a full disk leaves the old file whole.

    Raises:
        OutputError: the folder can't be written or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError
        temporary.unlink(missing_ok=True)
        raise OutputError(
            f"cannot write {path}: {error}", "a folder with room to write", "make room or give --output_dir"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Let `path` hold `text`, whole or not at all."""
    write_whole(path, lambda file: file.write(text.encode()))


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a plain state dict to `path` through a temporary name: a crash leaves the old file whole."""
    weights = {name: value.cpu() for name, value in network.state_dict().items()}
    write_whole(path, lambda file: torch.save(weights, file))


class Checkpoint:
    """Keeps ``model.pt``, the weights of the best score, ``last.pt``, and ``checkpoint.pt`` to go on from.

    ``checkpoint.pt`` holds weights, optimiser, scaler, averaged weights, every generator, the place in the
    data and whatever the other handlers asked to `remember`. ``best.json`` holds the score of ``model.pt`` by
    its hash: a resumed run never replaces it by a worse one, at whatever moment it was killed.

    Args:
        network: what is scored and shipped; usually the averaged network.
        evaluator: its key metric is the score; higher is better, NaN never is.
        folder: where the files go.
        resume: go on from ``checkpoint.pt`` in `folder`; where there is none yet, begin.
        every_s: least seconds between two writings of ``checkpoint.pt`` within an epoch; the end of an epoch
            with a validation, and the run's, are always written.
    """

    def __init__(
        self, network: nn.Module, evaluator: Engine, folder: str, resume: bool = False, every_s: float = 300.0
    ) -> None:
        self.network, self.evaluator, self.folder = network, evaluator, Path(folder)
        self.resume, self.every_s = resume, every_s
        self.best = float("-inf")
        self._saved = time.monotonic()
        self._validated = False

    def attach(self, engine: Engine) -> None:
        """Load at the start, if told to; save during the epochs, at their ends, and after better scores."""
        remember(engine, "checkpoint", self)
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        self.evaluator.add_event_handler(Events.COMPLETED, self._score)

    def state_dict(self) -> dict[str, Any]:
        """The best score so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best score: that of ``model.pt`` as it lies there, which may be newer."""
        model = self.folder / "model.pt"
        if model.is_file():
            self.best = max(state_dict["best"], self._scores().get(file_hash(model), float("-inf")))

    def _start(self, engine: Engine) -> None:
        path = self.folder / "checkpoint.pt"
        if self.resume and path.is_file():
            load_run(engine, self.network, path)
            _tell(f"going on after step {engine.state.iteration} of {path}")
        elif self.resume:
            _tell(f"nothing to go on from in {self.folder}: beginning")
        elif is_main() and path.is_file():
            path.unlink()  # it belongs to another run, and this one must not go on from it
        # Added now to be the last of all, when every other handler has finished the epoch.
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch)

    def _step(self, engine: Engine) -> None:
        state = engine.state
        sampler = getattr(getattr(engine, "data_loader", None), "sampler", None)
        between_epochs = state.iteration % state.epoch_length == 0
        if between_epochs or not isinstance(sampler, Visits) or not steps_now(engine):
            return
        if time.monotonic() - self._saved >= self.every_s:
            self._save(engine)

    def _epoch(self, engine: Engine) -> None:
        state = engine.state
        is_due = time.monotonic() - self._saved >= self.every_s
        if self._validated or is_due or state.epoch >= state.max_epochs:
            self._validated = False
            if is_main():
                save_weights(self.network, self.folder / "last.pt")
            self._save(engine)

    def _save(self, engine: Engine) -> None:
        if is_main():
            content = run_state(engine, self.network)
            write_whole(self.folder / "checkpoint.pt", lambda file: torch.save(content, file))
        self._saved = time.monotonic()

    def _score(self, evaluator: Engine) -> None:
        self._validated = True
        score = float(evaluator.state.metrics[evaluator.state.key_metric_name])
        if not score > self.best:
            return
        self.best = score
        if is_main():
            model, candidate = self.folder / "model.pt", self.folder / ".candidate.pt"
            save_weights(self.network, candidate)
            known = {file_hash(candidate): score}
            if model.is_file():
                # Between the two renames the old weights are still there: their score must be known too.
                before = file_hash(model)
                known |= {h: s for h, s in self._scores().items() if h == before}
            write_text(self.folder / "best.json", json.dumps(known, indent=1))
            candidate.replace(model)

    def _scores(self) -> dict[str, float]:
        try:
            return dict(json.loads((self.folder / "best.json").read_text()))
        except FileNotFoundError:
            return {}


def run_state(engine: Engine, averaged: nn.Module) -> dict[str, Any]:
    """All that this trainer needs to go on, in types that ``torch.load(weights_only=True)`` reads."""
    state = engine.state
    content: dict[str, Any] = {
        "step": state.iteration,
        "epoch": state.epoch,
        "epoch_length": state.epoch_length,
        "ended": getattr(state, "ended", ""),
        "network": _bare(engine.network).state_dict(),
        "averaged": averaged.state_dict(),
        "optimizer": engine.optimizer.state_dict(),
        "parts": {name: part.state_dict() for name, part in parts_of(engine).items()},
        "generators": generator_states(),
    }
    if engine.scaler is not None:
        content["scaler"] = engine.scaler.state_dict()
    return content


def load_run(engine: Engine, averaged: nn.Module, path: Path) -> None:
    """Put a trainer that has just started where `run_state` was taken.

    Raises:
        TrainingError: the file is damaged or belongs to another network, data set or batch size.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        _bare(engine.network).load_state_dict(content["network"])
        averaged.load_state_dict(content["averaged"])
        engine.optimizer.load_state_dict(content["optimizer"])
    except Exception as error:  # torch raises a dozen kinds for a damaged file
        text = " ".join(str(error).split())[:200]
        raise TrainingError(f"{path}: {text}", "a checkpoint of this run", _ANEW) from error
    if content["epoch_length"] != engine.state.epoch_length:
        raise TrainingError(
            f"{path} has {content['epoch_length']} steps per epoch, the run has {engine.state.epoch_length}",
            "the same cases, batch size and number of processes times batch size",
            _ANEW,
        )
    if engine.scaler is not None and "scaler" in content:
        engine.scaler.load_state_dict(content["scaler"])
    parts = parts_of(engine)
    for name, state in content["parts"].items():
        if name in parts:
            parts[name].load_state_dict(state)
    set_generator_states(content["generators"])
    engine.state.iteration = content["step"]
    engine.state.epoch = content["step"] // content["epoch_length"]
    if content["ended"]:
        engine.state.epoch = engine.state.max_epochs = content["epoch"]


_ANEW = "resume with what the run was begun with, or begin anew without --resume in another --output_dir"


def _bare(network: nn.Module) -> nn.Module:
    """The network without the wrapper that averages gradients over processes."""
    inner = getattr(network, "module", network)
    return inner if isinstance(inner, nn.Module) else network


def _tell(text: str) -> None:
    if is_main():
        sys.stderr.write(f"training  {text}\n")
