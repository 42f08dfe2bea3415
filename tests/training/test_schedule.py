import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ignite.engine import Engine

from medseg import training as t
from medseg.errors import TrainingError
from medseg.training.budget import seconds
from medseg.training.schedule import SHAPES, Patience, Plateau, rate_at
from medseg.training.validation import plan_validation

N_EPOCHS, EPOCH_LENGTH = 5, 4


def rates(*, shape: str, warmup: float = 0.0, **options) -> list[float]:
    """The rates that an optimiser sees in a run of 20 steps with a peak of 1."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=123.0)
    seen: list[float] = []
    engine = Engine(lambda *_: seen.append(optimizer.param_groups[0]["lr"]))
    t.LearningRate(optimizer, peak=1.0, shape=shape, warmup=warmup, **options).attach(engine)
    engine.run([0] * EPOCH_LENGTH, max_epochs=N_EPOCHS)
    return seen


MIDDLES = [(i + 0.5) / 20 for i in range(20)]


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ("constant", {}, lambda _: 1.0),
        ("poly", {}, lambda p: (1 - p) ** 0.9),
        ("poly", {"power": 2}, lambda p: (1 - p) ** 2),
        ("cosine", {}, lambda p: math.cos(math.pi * p / 2) ** 2),
        (
            "step",
            {"milestones": [0.5, 0.9], "factor": 0.1},
            lambda p: 1.0 if p < 0.5 else 0.1 if p < 0.9 else 0.01,
        ),
    ],
)
def test_each_shape_has_its_closed_form_at_the_middle_of_each_step(shape, options, expected):
    assert rates(shape=shape, **options) == pytest.approx([expected(p) for p in MIDDLES])


def test_one_cycle_is_torchs_one_cycle():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=101, cycle_momentum=False)
    expected = []
    for _ in range(101):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    # Torch counts its rise to step 29.3 of 100, one less than the share says.
    ours = [rate_at(i / 100, peak=1.0, shape="one_cycle", warmup=0.0, rise=0.293) for i in range(101)]
    assert ours == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", sorted(SHAPES.keys() - {"plateau", "one_cycle"}))
def test_a_warm_up_rises_in_a_straight_line_and_the_shape_follows(shape):
    seen = rates(shape=shape, warmup=0.2)
    assert seen[:4] == pytest.approx([p / 0.2 for p in MIDDLES[:4]])
    assert seen[4:] == pytest.approx([SHAPES[shape]((p - 0.2) / 0.8) for p in MIDDLES[4:]])


@given(st.floats(0, 1), st.floats(0, 0.9), st.sampled_from(sorted(SHAPES)))
def test_a_rate_is_never_negative_and_never_above_its_peak(progress, warmup, shape):
    assert 0 <= rate_at(progress, peak=0.3, shape=shape, warmup=warmup) <= 0.3 * (1 + 1e-12)


def test_a_plateau_halves_the_rate_after_each_three_validations_without_a_rise():
    plateau = Plateau(factor=0.5, patience=2, lowest=0.2)
    seen = []
    for score in [0.5, 0.6, 0.6, 0.5, 0.6, float("nan"), 0.1, 0.1, 0.7, 0.7, 0.7, 0.7]:
        plateau.see(score)
        seen.append(plateau.share)
    assert seen == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.2]


def test_a_plateau_that_is_resumed_goes_on_where_it_was():
    whole, first, second = Plateau(patience=1), Plateau(patience=1), Plateau(patience=1)
    for score in [0.5, 0.4]:
        whole.see(score)
        first.see(score)
    second.load_state_dict(first.state_dict())
    whole.see(0.4)
    second.see(0.4)
    assert second.share == whole.share == 0.5


def test_a_rise_smaller_than_min_delta_is_none():
    patience = Patience(n_borne=1, min_delta=0.1)
    assert [patience.is_over(score) for score in [0.5, 0.55, 0.59, 0.7]] == [False, False, True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": "cosin"}, "one of constant, cosine"),
        ({"shape": "cosine", "power": 2}, "options that it has"),
        ({"shape": "cosine", "warmup": 1.0}, "below 1"),
        ({"shape": "plateau"}, "evaluator"),
    ],
)
def test_a_wrong_schedule_is_told(options, message):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(TrainingError, match=message):
        t.LearningRate(optimizer, peak=1.0, **options)


@pytest.mark.parametrize(
    ("text", "expected"), [("45m", 2700), ("1.5h", 5400), ("1h30m", 5400), ("90", 90), (90, 90), ("20s", 20)]
)
def test_a_budget_is_read_as_it_is_said(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "-5m", "0", "5 parsecs", "1d"])
def test_a_budget_that_is_no_time_is_told(text):
    with pytest.raises(TrainingError, match="expected a time such as 45m"):
        seconds(text)


@given(st.floats(10, 1e6), st.floats(0.001, 100), st.integers(1, 500), st.floats(0.05, 0.5))
def test_planned_validations_keep_to_their_share_or_are_the_least_there_can_be(
    time_s, case_s, n_cases, share
):
    n, times = plan_validation(time_s, case_s, n_cases, share)
    assert 1 <= n <= n_cases
    assert 1 <= times <= 20
    assert n * times * case_s <= share * time_s * (1 + 1e-9) or (n, times) == (1, 1)
