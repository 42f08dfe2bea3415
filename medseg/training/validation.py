"""The score that chooses the checkpoint: Dice on whole volumes, per structure, as often as time allows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from ignite.metrics import Metric
from monai.data import MetaTensor
from monai.engines import Evaluator
from monai.handlers import ValidationHandler

from medseg.errors import TrainingError
from medseg.metrics.measures import Measure
from medseg.metrics.overlap import dice
from medseg.training.budget import Budget, progress_of
from medseg.training.processes import agreed, summed
from medseg.training.references import UNTOUCHED

_AWAY_MM = 1e-2
"""Corners of a scan's and a label map's file, in float32, differ by less."""


class MeanDice(Metric):
    """The mean over structures of the mean Dice over cases, on label maps of whole volumes.

    A structure that is absent from both label maps of a case says nothing and is left out; one that is absent
    from one of them scores 0. A structure that no case has makes the mean NaN rather than better. Where
    several processes validate, their cases count together.

    The score is that of the grid on which ``pred`` and ``label`` meet: the scan's own where the data set
    leaves the label untouched and the post-processing brings predictions there, as `medseg evaluate` has it.

    Args:
        labels: name to number, or to numbers for a union; the number 0 is the background and isn't scored.

    Attributes:
        per_structure: mean Dice by name after `compute`.
        is_native: False where a label map was scored that isn't on its file's own grid.
    """

    def __init__(self, labels: Mapping[str, int | Iterable[int]]) -> None:
        self.numbers = {name: _as_list(number) for name, number in labels.items() if number != 0}
        self.per_structure: dict[str, float] = {}
        self.is_native = True
        super().__init__(output_transform=lambda output: output)

    def reset(self) -> None:
        """Forget all cases."""
        self._totals = torch.zeros(len(self.numbers), 2, dtype=torch.float64)

    def update(self, output: Sequence[Mapping[str, Any]]) -> None:
        """Add the cases of one batch: items with ``pred`` and ``label``.

        Each has the shape (1, x, y[, z]) of a label map, or (regions, x, y[, z]) of one map per structure.

        Raises:
            TrainingError: a prediction isn't on its reference's grid.
        """
        for item in output:
            _check_grids(item["pred"], item["label"])
            self.is_native = self.is_native and on_own_grid(item["label"])
            for place, numbers in enumerate(self.numbers.values()):
                predicted = _mask(item["pred"], numbers, place)
                reference = _mask(item["label"], numbers, place)
                n_both = int((predicted & reference).sum())
                counts = Measure(int(reference.sum()), int(predicted.sum()), n_both, reference.numel())
                if counts.status != "both_empty":
                    self._totals[place] += torch.tensor([dice(counts), 1.0], dtype=torch.float64)

    def compute(self) -> float:
        """The mean over structures, in [0, 1]."""
        sums, counts = summed(self._totals).unbind(1)
        means = (sums / counts).tolist()  # 0 of 0 cases is NaN
        self.per_structure = dict(zip(self.numbers, means, strict=True))
        return sum(means) / len(means)

    def completed(self, engine: Engine, name: str) -> None:
        """Leave the mean in the engine's metrics and the parts in ``engine.state.per_structure``."""
        super().completed(engine, name)
        engine.state.per_structure = self.per_structure
        engine.state.is_native = self.is_native


def _check_grids(pred: Any, label: Any) -> None:
    """Return where voxel by voxel the two speak of the same place, as far as they know theirs."""
    is_untouched = isinstance(label, MetaTensor) and bool(label.meta.get(UNTOUCHED))
    found, wanted = tuple(pred.shape[1:]), tuple(label.shape[1:])
    places = f"shape {found}, its reference {wanted}"
    is_same = found == wanted
    if is_same and is_untouched and isinstance(pred, MetaTensor):
        away = np.abs(np.asarray(pred.affine, dtype=float) - _square(label.affine, len(pred.affine))).max()
        is_same, places = bool(away < _AWAY_MM), f"an affine {away:.3g} mm away from its reference's"
    if not is_same:
        file = label.meta.get("filename_or_obj", "") if isinstance(label, MetaTensor) else ""
        raise TrainingError(
            f"the prediction for {file or 'a case'} has {places}",
            "both on the grid of the scan's file" if is_untouched else "both on one grid",
            "end `validate#postprocessing` with the Invertd of evaluate.yaml, or leave out label_untouched",
        )


def _square(affine: Any, n: int) -> Any:
    """The affine for as many axes as another one of `n` rows has."""
    values = np.asarray(affine, dtype=float)
    kept = [*range(n - 1), len(values) - 1]
    return values[np.ix_(kept, kept)]


def on_own_grid(label: Any) -> bool:
    """True where each voxel of a label map is one of its file's, whatever the order of the axes.

    What doesn't know its file (a plain tensor) counts as being on its own grid.
    """
    if not isinstance(label, MetaTensor) or "original_affine" not in label.meta:
        return True
    now, before = (np.asarray(a, dtype=float) for a in (label.affine, label.meta["original_affine"]))
    if sorted(label.shape[1:]) != sorted(int(n) for n in label.meta["spatial_shape"]):
        return False
    if now.shape != before.shape:
        return True
    steps = np.abs(np.linalg.solve(before, now)[:-1, :-1])
    return bool(np.allclose(steps, np.round(steps), atol=1e-3) and np.allclose(steps.sum(0), 1, atol=1e-3))


def _as_list(number: int | Iterable[int]) -> list[int]:
    return [number] if isinstance(number, int) else list(number)


def _mask(labels: Any, numbers: list[int], place: int) -> torch.Tensor:
    values = torch.as_tensor(labels)
    if values.shape[0] > 1:
        return values[place] > 0.5
    return torch.isin(values[0], torch.tensor(numbers, dtype=values.dtype, device=values.device))


def plan_validation(time_s: float, case_s: float, n_cases: int, share: float) -> tuple[int, int]:
    """How many cases to validate on, and how often in the run, within `share` of `time_s` seconds.

    All cases as often as it goes, at most 20 times; if all can't be done twice, fewer cases twice.

    >>> plan_validation(3600.0, 1.0, 40, 0.1)
    (40, 9)
    """
    n_visits = share * time_s / max(case_s, 1e-9)
    n = min(n_cases, max(1, int(n_visits // 2)))
    return n, min(20, max(1, int(n_visits // n)))


class Validation(ValidationHandler):
    """Runs the evaluator every `interval` epochs and after the last one, so that no run ends unscored.

    In a run with a `Budget` the interval counts for nothing: the time per case is measured before the first
    step (which also shows, before the night, that validation works at all), and `plan_validation` says on how
    many cases and how often. The last step is always followed by a validation.

    Args:
        validator: the evaluator, on whole volumes.
        interval: epochs from one validation to the next.
        share: of a budget that validations may take.
    """

    def __init__(self, validator: Evaluator, interval: int, share: float = 0.1) -> None:
        super().__init__(interval=interval, validator=validator, epoch_level=True)
        self.share, self.n_times, self._n_done = share, 0, 0

    def attach(self, engine: Engine) -> None:
        """Follow the epochs of a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._plan)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Validate, if it is time to."""
        if not self._is_due(engine):
            return
        began = time.time()
        self.validator.run(engine.state.epoch)
        engine.state.validation_s = time.time() - began
        budget = getattr(engine.state, "budget", None)
        if isinstance(budget, Budget):
            budget.validated(engine, engine.state.validation_s)

    def _is_due(self, engine: Engine) -> bool:
        epoch, last = engine.state.epoch, engine.state.max_epochs
        if not self.n_times:
            return bool(epoch % self.interval == 0 or epoch >= last)
        n_reached = int(progress_of(engine) * self.n_times)
        # Just before the last validation another one would only take the time of the last steps.
        has_room = engine.state.budget.has_room_for(engine, engine.state.validation_s)
        is_due = (n_reached > self._n_done and has_room) or epoch >= last
        self._n_done = max(n_reached, self._n_done)
        return is_due

    def _plan(self, engine: Engine) -> None:
        budget = getattr(engine.state, "budget", None)
        if self.n_times or not isinstance(budget, Budget):
            return
        case_s = agreed(self._time_one_case())
        left = agreed(budget.left_s(engine))
        n_cases, self.n_times = plan_validation(left, case_s, self.validator.state.epoch_length, self.share)
        self.validator.state.epoch_length = n_cases
        engine.state.validation_s = n_cases * case_s
        self._n_done = int(budget.used_s() / (budget.used_s() + left) * self.n_times)

    @torch.no_grad()
    def _time_one_case(self) -> float:
        evaluator = self.validator
        if evaluator.state.epoch_length == 0:
            return 0.0
        began = time.time()
        # One iteration, its events included: they bring the prediction back to the scan and clean it.
        evaluator.state.batch = next(iter(evaluator.data_loader))
        evaluator.network.eval()
        evaluator._process_function(evaluator, evaluator.state.batch)
        return time.time() - began
