import time

import pytest
import torch
from ignite.engine import Events

from medseg import training as t
from medseg.errors import TrainingError
from medseg.training.gradients import steps_taken
from medseg.training.precision import MixedPrecisionInferer, has_bfloat16_units, mixed_precision
from medseg.training.randomness import generator_states, seed_all, set_generator_states
from medseg.training.sampling import Spread, Visits
from tests.training import toy


class Scores:
    """Replaces the evaluator's score by a list of them, in turn."""

    def __init__(self, scores) -> None:
        self.scores = iter(scores)

    def __call__(self, evaluator) -> None:
        evaluator.state.metrics["Mean_Dice"] = next(self.scores)


def with_scores(trainer, scores):
    """The trainer, whose validations give these scores."""
    evaluator = validator_of(trainer)
    # First of all: the metric itself is computed at the end of the evaluator's epoch.
    evaluator._event_handlers[Events.COMPLETED].insert(0, (Scores(scores), (evaluator,), {}))
    return trainer


def validator_of(trainer):
    """The evaluator of the trainer's `Validation`."""
    bound = [
        h.__self__ for h, _, _ in trainer._event_handlers[Events.EPOCH_STARTED] if hasattr(h, "__self__")
    ]
    return next(h.validator for h in bound if isinstance(h, t.Validation))


def test_early_stopping_ends_the_run_at_the_epoch_after_its_patience(tmp_path):
    trainer = with_scores(
        toy.trainer(tmp_path, epochs=20, interval=1, patience=2), [0.1, 0.5, 0.4, 0.5, 0.3, 0.9]
    )
    trainer.run()
    assert trainer.state.epoch == 5
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 6
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 15


def test_a_resumed_run_remembers_how_long_it_was_patient(tmp_path):
    with_scores(toy.trainer(tmp_path, epochs=3, interval=1, patience=2), [0.5, 0.4, 0.4]).run()
    resumed = toy.trainer(tmp_path, epochs=20, interval=1, patience=2, resume=True)
    with_scores(resumed, [0.4, 0.9]).run()
    assert resumed.state.epoch == 4


def test_the_best_weights_are_those_of_the_best_score(tmp_path):
    trainer = toy.trainer(tmp_path, epochs=4, interval=1)
    with_scores(trainer, [0.1, float("nan"), 0.8, 0.7]).run()
    best = torch.load(tmp_path / "model.pt", weights_only=True)
    last = torch.load(tmp_path / "last.pt", weights_only=True)
    assert not torch.equal(best["0.weight"], last["0.weight"])
    assert "0.8" in (tmp_path / "best.json").read_text()


def test_a_budget_ends_the_run_in_time_with_the_schedule_at_its_end(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    trainer = toy.trainer(tmp_path, epochs=1, budget=4.0, interval=1)

    def a_step_takes_a_twentieth(engine):
        now[0] += 0.05

    trainer.add_event_handler(Events.ITERATION_STARTED, a_step_takes_a_twentieth)
    trainer.run()
    assert 1003.8 < now[0] <= 1004.0
    assert trainer.state.epoch > 1
    assert trainer.optimizer.param_groups[0]["lr"] < 0.01 * 0.15
    last = (tmp_path / "history.csv").read_text().splitlines()[-1]
    assert last.split(",")[-1] != ""
    assert trainer.state.ended == "its budget is used"


def test_gradients_are_clipped_to_the_norm_when_the_optimiser_steps(tmp_path):
    norms = []
    trainer = toy.trainer(tmp_path, epochs=1, clip=0.01, loss=lambda scores, _: scores.pow(2).sum())
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED,
        lambda e: norms.append(float(torch.stack([p.grad.norm() for p in e.network.parameters()]).norm())),
    )
    trainer.run()
    assert norms == pytest.approx([0.01] * 3, rel=1e-4)


def test_a_norm_of_zero_is_refused():
    with pytest.raises(TrainingError, match="a norm above 0"):
        t.ClipGradients(0.0)


def test_mixed_precision_is_only_for_devices_that_are_faster_with_it():
    assert mixed_precision("cpu") is False
    assert mixed_precision(torch.device("cuda")) is torch.cuda.is_available()


def test_the_network_runs_in_bfloat16_where_the_cpu_has_units_for_it_and_gives_float32():
    seen = []

    class Layer(torch.nn.Conv2d):
        def forward(self, x):
            outputs = super().forward(x)
            seen.append(outputs.dtype)
            return outputs

    torch.manual_seed(0)
    network, image = Layer(1, 2, 3), torch.rand(1, 1, 8, 8)
    outputs = MixedPrecisionInferer("cpu")(image, network)
    plain = MixedPrecisionInferer("cpu", wanted=False)(image, network)
    assert outputs.dtype == plain.dtype == torch.float32
    assert seen == [torch.bfloat16 if has_bfloat16_units() else torch.float32, torch.float32]
    torch.testing.assert_close(outputs, plain, atol=0.02, rtol=0.02)


def test_averaged_weights_follow_the_closed_form():
    net = torch.nn.Linear(1, 1, bias=False)
    averaged = t.averaged_copy(net)
    engine = toy.trainer_stub(net)
    value = net.weight.item()
    handler = t.AverageWeights(net, averaged, decay=0.5)
    for step in range(1, 6):
        net.weight.data.fill_(float(step))
        engine.state.iteration = step
        handler(engine)
        decay = min(0.5, (1 + step) / (10 + step))
        value = decay * value + (1 - decay) * step
    assert averaged.weight.item() == pytest.approx(value)


def test_a_budget_that_the_start_ate_says_that_the_weights_are_worth_nothing(tmp_path):
    trainer = toy.trainer(tmp_path, epochs=1, budget=0.01, interval=1)
    trainer.run()
    assert trainer.state.iteration == 1
    assert "worth nothing" in trainer.state.ended


def test_averaging_counts_the_steps_of_the_optimiser_not_the_batches():
    engine = toy.trainer_stub(torch.nn.Linear(1, 1))
    engine.accumulation_steps, engine.state.epoch_length = 2, 5
    counted = []
    for iteration in range(1, 13):
        engine.state.iteration = iteration
        counted.append(steps_taken(engine))
    assert counted == [1, 1, 2, 2, 3, 4, 4, 5, 5, 6, 7, 7]


def test_each_round_of_visits_has_every_case_once_and_rounds_differ():
    visits = Visits(range(7), seed=3)
    orders = []
    for epoch in range(3):
        visits.place(epoch)
        orders.append(list(visits))
    assert [sorted(order) for order in orders] == [list(range(7))] * 3
    assert orders[0] != orders[1] != orders[2]
    assert len({visit.seed for order in orders for visit in order}) == 21


def test_visits_from_a_place_are_the_end_of_those_from_the_start():
    visits = Visits(range(7), seed=3, per_epoch=5)
    visits.place(2)
    whole = [(int(v), v.seed) for v in visits]
    visits.place(2, offset=3)
    assert [(int(v), v.seed) for v in visits] == whole[3:]


@pytest.mark.parametrize("n", [1, 2, 5, 8, 39])
def test_spread_visits_every_case_once_and_its_beginnings_reach_across_the_list(n):
    order = list(Spread(range(n)))
    assert sorted(order) == list(range(n))
    assert max(order[:2]) >= n // 2


def test_generators_go_back_to_where_they_were():
    import random

    import numpy as np

    seed_all(5)
    states = generator_states()
    first = (random.random(), np.random.rand(), float(torch.rand(1)), np.random.normal())
    set_generator_states(states)
    assert (random.random(), np.random.rand(), float(torch.rand(1)), np.random.normal()) == first


def still_network():
    """No dropout, and no bias before a norm: nothing but the batches can make a difference."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv3d(1, 4, 3, padding=1, bias=False),
        torch.nn.InstanceNorm3d(4),
        torch.nn.ReLU(),
        torch.nn.Conv3d(4, 2, 1),
    )


def test_two_accumulated_batches_are_one_of_twice_the_size(tmp_path):
    found = []
    for name, options in {"doubled": {"batch_size": 2}, "twice": {"batch_size": 1, "accumulate": 2}}.items():
        net = still_network()
        toy.trainer(tmp_path / name, epochs=1, net=net, rate={"shape": "constant"}, **options).run()
        found.append(net.state_dict())
    assert float((found[0]["0.weight"] - still_network().state_dict()["0.weight"]).abs().max()) > 0.01
    for name, values in found[0].items():
        torch.testing.assert_close(found[1][name], values, atol=1e-4, rtol=1e-4)


def test_no_validation_is_begun_for_which_there_is_no_time(tmp_path):
    trainer = toy.trainer(tmp_path)
    budget = t.Budget(100, began=time.time() - 80, aside_s=2)
    budget._step_s = 3.0
    trainer.state.validation_s = 10.0
    # 100 - 80 - 2, less the last validation with its margin, leaves 6.5 s.
    assert budget.left_s(trainer) == pytest.approx(6.5, abs=0.1)
    assert budget.has_room_for(trainer, 3.0)
    assert not budget.has_room_for(trainer, 4.0)


def test_a_validation_after_which_no_step_fits_is_the_last_one(tmp_path):
    trainer = toy.trainer(tmp_path)
    trainer.state.epoch, trainer.state.validation_s = 2, 10.0
    budget = t.Budget(100, began=time.time() - 80, aside_s=2)
    budget._step_s = 6.0
    budget.validated(trainer, 10.0)
    assert not hasattr(trainer.state, "ended")
    budget._step_s = 7.0
    budget.validated(trainer, 10.0)
    assert (trainer.state.ended, trainer.state.max_epochs) == ("its budget is used", 2)
