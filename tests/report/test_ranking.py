from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from medseg.report.ranking import aggregate_then_rank, friedman, rank_stability, rank_then_aggregate

RNG = np.random.default_rng(5)
GOODNESS = RNG.normal(size=(30, 4)) + np.array([0.0, 0.3, 0.9, 0.2])


def test_the_friedman_test_is_scipys() -> None:
    theirs = stats.friedmanchisquare(*GOODNESS.T)
    mine = friedman(GOODNESS)
    assert (mine.statistic, mine.p_value) == pytest.approx((theirs.statistic, theirs.pvalue))


@pytest.mark.parametrize(("k", "q"), [(3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_follows_demsars_table(k: int, q: float) -> None:
    found = friedman(RNG.normal(size=(14, k)))
    assert found.critical_difference == pytest.approx(q * math.sqrt(k * (k + 1) / (6 * 14)), rel=5e-4)


def test_nemenyi_rejects_exactly_beyond_the_critical_difference() -> None:
    found = friedman(GOODNESS)
    gaps = np.abs(found.mean_ranks[:, None] - found.mean_ranks[None, :])
    assert ((found.nemenyi < 0.05) == (gaps > found.critical_difference)).all()


def test_equal_systems_are_not_told_apart() -> None:
    found = friedman(np.ones((6, 3)))
    assert (found.p_value, found.mean_ranks.tolist()) == (1.0, [2.0, 2.0, 2.0])


def test_two_systems_are_refused() -> None:
    with pytest.raises(ValueError, match="three systems"):
        friedman(np.ones((6, 2)))


def test_the_two_orders_disagree_where_one_case_is_lost() -> None:
    goodness = np.array([[0.9, 0.8, 0.7]] * 5 + [[-math.inf, 0.1, 0.2]])
    assert rank_then_aggregate(goodness).tolist() == [1, 2, 3]
    assert aggregate_then_rank(goodness).tolist() == [3, 1, 2]


def test_of_two_systems_with_lost_cases_the_one_with_fewer_comes_first_by_mean() -> None:
    goodness = -np.array([[1.0, 9.0, 1.0], [1.0, math.inf, math.inf], [1.0, 9.0, math.inf]])
    assert aggregate_then_rank(goodness).tolist() == [1, 2, 3]


def test_a_system_that_is_always_best_is_first_in_every_draw() -> None:
    goodness = np.stack([np.full(20, 3.0), RNG.normal(size=20) * 0.1, RNG.normal(size=20) * 0.1], axis=1)
    found = rank_stability(goodness)
    assert found.shares[0].tolist() == [1.0, 0.0, 0.0]
    assert found.shares.sum(axis=1) == pytest.approx([1, 1, 1])


def test_a_fixed_order_has_full_agreement() -> None:
    goodness = np.tile([3.0, 2.0, 1.0], (9, 1))
    assert rank_stability(goodness, by_mean=True).kendall_tau == pytest.approx(1.0)


def test_a_draw_with_the_lost_case_puts_its_system_last_by_mean() -> None:
    goodness = np.array([[0.9, 0.8, 0.7]] * 5 + [[-math.inf, 0.8, 0.7]])
    found = rank_stability(goodness, by_mean=True, resamples=4000)
    # The lost case is not drawn with chance (5/6)^6.
    assert found.shares[0, 0] == pytest.approx((5 / 6) ** 6, abs=0.03)


def test_patients_are_drawn_whole() -> None:
    goodness = np.array([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0], [0.0, 1.0, -1.0]])
    found = rank_stability(goodness, ["a", "b", "b"], resamples=4000)
    # Draws of two patients: aa 1/4, bb 1/4, ab 1/2, in which the two scans of b win.
    assert found.shares[0, 0] == pytest.approx(0.25, abs=0.03)
