from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from medseg.report.paired import compare_pairs, hodges_lehmann, holm, signed_ranks

RNG = np.random.default_rng(11)
GRID = st.lists(st.sampled_from([-3, -2, -1, 0, 0, 1, 2, 4]), min_size=1, max_size=9)


def enumerated_p(change: np.ndarray) -> float:
    """The two-sided p-value by trying every sign of every non-zero Pratt rank."""
    positive, negative = signed_ranks(change)
    ranks = np.concatenate([positive, negative])
    sums = np.array(
        [
            sum(r for r, s in zip(ranks, signs, strict=True) if s)
            for signs in product([0, 1], repeat=ranks.size)
        ]
    )
    seen = positive.sum()
    return float(min(1.0, 2 * min((sums <= seen + 1e-9).mean(), (sums >= seen - 1e-9).mean())))


def test_without_ties_the_p_value_is_scipys_exact_one() -> None:
    a, b = RNG.normal(size=23), RNG.normal(0.4, 1, 23)
    theirs = stats.wilcoxon(b, a, method="exact").pvalue
    assert compare_pairs(a, b).p_value == pytest.approx(theirs, rel=1e-12)


def test_many_pairs_with_zeros_and_ties_have_scipys_pratt_p_value() -> None:
    a = RNG.integers(0, 8, 140).astype(float)
    b = a + RNG.integers(-2, 4, 140)
    theirs = stats.wilcoxon(b, a, zero_method="pratt", method="approx", correction=False).pvalue
    assert compare_pairs(a, b).p_value == pytest.approx(theirs, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(GRID)
def test_with_zeros_and_ties_the_p_value_is_that_of_all_signs(change: list[int]) -> None:
    b = np.array(change, float)
    assert compare_pairs(np.zeros_like(b), b).p_value == pytest.approx(enumerated_p(b))


@settings(max_examples=40, deadline=None)
@given(GRID)
def test_swapping_the_systems_turns_everything_round(change: list[int]) -> None:
    b, a = np.array(change, float), np.zeros(len(change))
    there, back = compare_pairs(a, b), compare_pairs(b, a)
    assert (there.wins, there.losses, there.ties) == (back.losses, back.wins, back.ties)
    assert there.rank_biserial == pytest.approx(-back.rank_biserial)
    assert there.difference == pytest.approx(-back.difference)
    assert there.p_value == pytest.approx(back.p_value)


def test_a_lower_distance_is_a_win_where_lower_is_better() -> None:
    found = compare_pairs([5.0, 6.0, 7.0], [4.0, 4.0, 4.0], higher_is_better=False)
    assert (found.wins, found.losses, found.rank_biserial) == (3, 0, 1.0)
    assert found.difference == -2.0


def test_the_rank_biserial_of_one_loss_of_the_smallest_rank_is_known() -> None:
    found = compare_pairs(np.zeros(4), [2.0, 3.0, 4.0, -1.0])
    assert found.rank_biserial == pytest.approx((9 - 1) / 10)


def test_a_found_structure_against_a_missed_one_is_the_largest_rank_and_not_dropped() -> None:
    missed = np.array([math.inf, 5.0, 4.0, 9.0])
    found = compare_pairs(missed, [20.0, 6.0, 6.0, 12.0], higher_is_better=False)
    assert (found.n, found.n_dropped, found.wins) == (4, 0, 1)
    assert found.rank_biserial == pytest.approx((4 - 6) / 10)


def test_two_infinities_are_a_tie_and_an_undefined_score_drops_its_pair() -> None:
    found = compare_pairs([math.inf, math.nan, 1.0], [math.inf, 2.0, 2.0], higher_is_better=False)
    assert (found.n, found.n_dropped, found.ties, found.losses) == (2, 1, 1, 1)


def test_the_difference_is_infinite_where_most_pairs_are() -> None:
    found = compare_pairs([1.0] * 8, [math.inf] * 7 + [2.0], higher_is_better=False)
    assert found.difference == math.inf


def test_the_hodges_lehmann_estimate_is_the_median_of_walsh_averages() -> None:
    change = RNG.normal(size=15)
    walsh = [(x + y) / 2 for i, x in enumerate(change) for y in change[i:]]
    assert hodges_lehmann(change)[0] == pytest.approx(np.median(walsh))


def test_the_hodges_lehmann_interval_has_the_ranks_of_the_tables() -> None:
    # Hollander and Wolfe, table A.4: n = 10, P(T+ >= 47) = .024, so the ends are the 9th from each side.
    change = np.sort(RNG.normal(size=10))
    walsh = np.sort([(x + y) / 2 for i, x in enumerate(change) for y in change[i:]])
    assert hodges_lehmann(change)[1:] == pytest.approx((walsh[8], walsh[-9]))


def test_five_pairs_have_no_interval() -> None:
    assert math.isnan(hodges_lehmann(np.arange(5.0))[1])
    assert not math.isnan(hodges_lehmann(np.arange(6.0))[1])


def test_the_interval_leaves_zero_out_when_the_test_rejects() -> None:
    change = RNG.normal(0.9, 1.0, 30)
    found = compare_pairs(np.zeros(30), change)
    assert (found.p_value < 0.05) == (found.low > 0 or found.high < 0)


def test_holms_adjustment_is_monotone_and_leaves_undefined_ones_out() -> None:
    assert holm([0.01, math.nan, 0.04, 0.03])[0] == pytest.approx(0.03)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert math.isnan(holm([0.01, math.nan])[1])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
