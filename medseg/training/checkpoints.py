"""The best and the last weights on disk, never half written."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from torch import nn


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a plain state dict to `path` through a temporary name: a crash leaves the old file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        torch.save({name: value.cpu() for name, value in network.state_dict().items()}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class Checkpoint:
    """Keeps ``model.pt``, the weights of the best validation score, and ``last.pt``, those of the last epoch.

    Args:
        network: what is saved; usually the averaged network.
        evaluator: its key metric is the score; higher is better, NaN never is.
        folder: where the two files go.
    """

    def __init__(self, network: nn.Module, evaluator: Engine, folder: str) -> None:
        self.network, self.evaluator, self.folder = network, evaluator, Path(folder)
        self.best = float("-inf")

    def attach(self, engine: Engine) -> None:
        """Save the last weights after each epoch of the trainer, the best after each validation."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, save_weights, self.network, self.folder / "last.pt")
        self.evaluator.add_event_handler(Events.COMPLETED, self._save_best)

    def _save_best(self, evaluator: Engine) -> None:
        score = evaluator.state.metrics[evaluator.state.key_metric_name]
        if score > self.best:
            self.best = score
            save_weights(self.network, self.folder / "model.pt")
