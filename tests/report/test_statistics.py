from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from medseg.report.statistics import mean_interval, median_interval, summarise

SKEWED = np.random.default_rng(3).beta(8, 1.5, 37)


def test_the_mean_interval_is_the_bca_interval_of_scipy_on_the_same_draws() -> None:
    theirs = stats.bootstrap((SKEWED,), np.mean, method="BCa", n_resamples=2000, rng=np.random.default_rng(0))
    mine = mean_interval(SKEWED, seed=0)
    assert (mine.low, mine.high) == pytest.approx(tuple(theirs.confidence_interval), abs=1e-9)


def test_the_median_interval_is_the_percentile_interval_of_scipy_on_the_same_draws() -> None:
    theirs = stats.bootstrap(
        (SKEWED,),
        np.median,
        method="percentile",
        n_resamples=2000,
        rng=np.random.default_rng(0),
        vectorized=True,
    )
    mine = median_interval(SKEWED, seed=0)
    assert (mine.low, mine.high) == pytest.approx(tuple(theirs.confidence_interval), abs=1e-12)


def test_scans_of_one_patient_are_drawn_together() -> None:
    twice = np.repeat(SKEWED, 2)
    patients = np.repeat(np.arange(SKEWED.size), 2).tolist()
    clustered, alone = mean_interval(twice, patients), mean_interval(SKEWED)
    assert (clustered.low, clustered.high) == pytest.approx((alone.low, alone.high))


def test_the_median_of_patients_with_unequal_numbers_of_scans_is_the_sample_median_of_each_draw() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.9])
    patients = ["a", "a", "a", "b"]
    draws = [[0.1, 0.2, 0.3] * 2, [0.1, 0.2, 0.3, 0.9], [0.9, 0.9]]
    assert {float(np.median(d)) for d in draws} == {0.2, 0.25, 0.9}
    found = median_interval(scores, patients)
    assert (found.low, found.high) == (0.2, 0.9)


def test_equal_scores_have_an_interval_of_no_width() -> None:
    found = mean_interval([0.9] * 12)
    assert (found.low, found.high) == (0.9, 0.9)


def test_one_patient_has_no_interval() -> None:
    found = summarise([0.5, 0.7], ["a", "a"])
    assert math.isnan(found.mean_interval.low)
    assert math.isnan(found.median_interval.high)
    assert found.mean == pytest.approx(0.6)


def test_no_score_gives_undefined_numbers_and_a_count_of_none() -> None:
    found = summarise([])
    assert found.n == 0
    assert math.isnan(found.mean)


def test_infinite_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        summarise([1.0, math.inf])


def test_a_summary_is_small_under_fifty_patients_however_many_scans() -> None:
    assert summarise(np.arange(80.0), [i // 2 for i in range(80)]).is_small
    assert not summarise(np.arange(50.0)).is_small


def test_a_summary_has_the_moments_and_quantiles_of_numpy() -> None:
    found = summarise(SKEWED)
    quantiles = (found.minimum, found.p5, found.q1, found.median, found.q3, found.maximum)
    assert quantiles == pytest.approx(tuple(np.quantile(SKEWED, [0, 0.05, 0.25, 0.5, 0.75, 1])))
    assert (found.mean, found.sd) == pytest.approx((SKEWED.mean(), np.std(SKEWED, ddof=1)))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.floats(0.5, 3), st.floats(-2, 2))
def test_intervals_move_and_stretch_with_the_scores(scores: list[float], scale: float, shift: float) -> None:
    plain, moved = median_interval(scores), median_interval(np.array(scores) * scale + shift)
    assert (moved.low, moved.high) == pytest.approx((plain.low * scale + shift, plain.high * scale + shift))
