"""The score that chooses the checkpoint: Dice on whole volumes, per structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.metrics import Metric
from monai.engines import Evaluator
from monai.handlers import ValidationHandler


class MeanDice(Metric):
    """The mean over structures of the mean Dice over cases, on label maps of whole volumes.

    A structure that is absent from both label maps of a case says nothing and is left out; one that is absent
    from one of them scores 0. A structure that no case has makes the mean NaN rather than better.

    Args:
        labels: name to number; the number 0 is the background and isn't scored.

    Attributes:
        per_structure: mean Dice by name after `compute`.
    """

    def __init__(self, labels: Mapping[str, int]) -> None:
        self.numbers = {name: number for name, number in labels.items() if number != 0}
        self.per_structure: dict[str, float] = {}
        super().__init__(output_transform=lambda output: output)

    def reset(self) -> None:
        """Forget all cases."""
        self._scores: dict[str, list[float]] = {name: [] for name in self.numbers}

    def update(self, output: Sequence[Mapping[str, Any]]) -> None:
        """Add the cases of one batch: items with ``pred`` and ``label``, each of shape (1, x, y[, z])."""
        for item in output:
            for name, number in self.numbers.items():
                predicted, reference = item["pred"] == number, item["label"] == number
                total = float(predicted.sum() + reference.sum())
                if total:
                    self._scores[name].append(2 * float((predicted & reference).sum()) / total)

    def compute(self) -> float:
        """The mean over structures, in [0, 1]."""
        self.per_structure = {
            name: sum(scores) / len(scores) if scores else float("nan")
            for name, scores in self._scores.items()
        }
        return float(torch.tensor(list(self.per_structure.values())).mean())

    def completed(self, engine: Engine, name: str) -> None:
        """Leave the mean in the engine's metrics and the parts in ``engine.state.per_structure``."""
        super().completed(engine, name)
        engine.state.per_structure = self.per_structure


class Validation(ValidationHandler):
    """Runs the evaluator every `interval` epochs and after the last one, so that no run ends unscored.

    Args:
        validator: the evaluator, on whole volumes.
        interval: epochs from one validation to the next.
    """

    def __init__(self, validator: Evaluator, interval: int) -> None:
        super().__init__(interval=interval, validator=validator, epoch_level=True)

    def attach(self, engine: Engine) -> None:
        """Follow the epochs of a trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED(event_filter=self._is_due), self)

    def _is_due(self, engine: Engine, epoch: int) -> bool:
        return epoch % self.interval == 0 or epoch == engine.state.max_epochs
