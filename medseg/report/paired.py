"""Two systems on the same cases: is one better, by how much, and how sure is that?

An infinite distance is the worst rank, not a number: a structure found by one system and missed by the other
is the largest possible difference. A pair of two infinities is a tie. A pair with an undefined score is
dropped and counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# scipy.stats loads at its first use: most runs of `medseg evaluate` need none of it.
import scipy
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

EXACT_UP_TO = 50
"""So many non-zero differences get the exact null distribution; more get the normal approximation."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """System B against system A on one metric of one structure.

    Attributes:
        n: pairs compared.
        n_dropped: pairs left out because a score is undefined.
        wins: pairs where B is better; ``losses`` where A is; ``ties`` where they are equal.
        p_value: two-sided Wilcoxon signed-rank test with Pratt's zeros; 1 if all are tied, NaN for no pair.
        rank_biserial: matched-pairs rank-biserial correlation, -1 (A always better) to 1 (B always better).
        difference: Hodges-Lehmann estimate of B minus A, in the metric's unit; may be infinite.
        low: lower end of its 95 % interval, NaN where there are too few pairs; ``high`` the upper end.
    """

    n: int
    n_dropped: int
    wins: int
    ties: int
    losses: int
    p_value: float
    rank_biserial: float
    difference: float
    low: float
    high: float


def compare_pairs(a: ArrayLike, b: ArrayLike, *, higher_is_better: bool = True) -> Comparison:
    """The comparison of B with A, case by case.

    Args:
        a: scores of system A, one per case; may hold infinities and NaN.
        b: scores of system B on the same cases in the same order.

    Raises:
        ValueError: there are not as many scores of A as of B.

    >>> compare_pairs([0.5, 0.6, 0.7], [0.6, 0.7, 0.8]).wins
    3
    """
    first, second = np.asarray(a, float).ravel(), np.asarray(b, float).ravel()
    if first.size != second.size:
        raise ValueError(f"{first.size} scores of A and {second.size} of B")
    known = ~(np.isnan(first) | np.isnan(second))
    change = finite_differences(first[known], second[known])
    gain = change if higher_is_better else -change
    positive, negative = signed_ranks(gain)
    total = positive.sum() + negative.sum()
    estimate, low, high = hodges_lehmann(change)
    return Comparison(
        n=int(known.sum()),
        n_dropped=int((~known).sum()),
        wins=int((gain > 0).sum()),
        ties=int((gain == 0).sum()),
        losses=int((gain < 0).sum()),
        p_value=wilcoxon_p(positive, negative) if known.any() else math.nan,
        rank_biserial=float((positive.sum() - negative.sum()) / total) if total else 0.0,
        difference=_unbounded(estimate, change, first[known], second[known]),
        low=_unbounded(low, change, first[known], second[known]),
        high=_unbounded(high, change, first[known], second[known]),
    )


def finite_differences(a: Floats, b: Floats) -> Floats:
    """B minus A, an infinite difference as a finite one larger than all others, and inf - inf as 0."""
    with np.errstate(invalid="ignore"):
        change = b - a
    change[np.isinf(a) & np.isinf(b) & (a == b)] = 0.0
    infinite = np.isinf(change)
    change[infinite] = np.sign(change[infinite]) * _beyond(change[~infinite])
    return change


def signed_ranks(change: Floats) -> tuple[Floats, Floats]:
    """Ranks of the positive and of the negative differences, zeros ranked first and then left out.

    Source: Pratt, Remarks on Zeros and Ties in the Wilcoxon Signed Rank Procedures, JASA 1959;54:655-667.
    """
    ranks = scipy.stats.rankdata(np.abs(change))
    return ranks[change > 0], ranks[change < 0]


def wilcoxon_p(positive: Floats, negative: Floats) -> float:
    """The two-sided p-value of the signed-rank test, exact (ties and zeros too) for up to 50 differences.

    The exact distribution gives each rank either sign with equal chance: a convolution over doubled ranks,
    which are whole numbers even where ranks are shared. Beyond that, the normal approximation with the
    variance of those same ranks and no continuity correction.
    """
    ranks = np.concatenate([positive, negative])
    if ranks.size == 0:
        return 1.0
    if ranks.size > EXACT_UP_TO:
        deviation = abs(positive.sum() - ranks.sum() / 2) / math.sqrt((ranks**2).sum() / 4)
        return float(2 * ndtr(-deviation))
    doubled = np.rint(2 * ranks).astype(int)
    chance = _null_distribution(doubled)
    seen = int(np.rint(2 * positive.sum()))
    return float(min(1.0, 2 * min(chance[: seen + 1].sum(), chance[seen:].sum())))


def hodges_lehmann(change: Floats, confidence: float = 0.95) -> tuple[float, float, float]:
    """The median of all pairwise averages, and the ends of its distribution-free interval.

    The interval inverts the signed-rank test. It needs six differences for 95 %; with fewer its ends are NaN.
    Source: Hodges and Lehmann, Ann Math Stat 1963;34:598-611; Hollander and Wolfe, Nonparametric Statistical
    Methods, section 3.2 and 3.3.
    """
    n = change.size
    if n == 0:
        return math.nan, math.nan, math.nan
    rows, columns = np.triu_indices(n)
    averages = np.sort((change[rows] + change[columns]) / 2)
    tail = (1 - confidence) / 2
    if n <= EXACT_UP_TO:
        below = np.cumsum(_null_distribution(np.arange(1, n + 1)))
        rank = int(np.searchsorted(below, tail, side="right"))
    else:
        rank = math.floor(n * (n + 1) / 4 + ndtri(tail) * math.sqrt(n * (n + 1) * (2 * n + 1) / 24))
    if rank < 1:
        return float(np.median(averages)), math.nan, math.nan
    return float(np.median(averages)), float(averages[rank - 1]), float(averages[-rank])


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values in the order given; NaN stays NaN and does not count as a test.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scand J Stat 1979;6:65-70.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [math.nan] * len(p_values)
    tested = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    largest = 0.0
    for step, (p, index) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - step) * p))
        adjusted[index] = largest
    return adjusted


def _null_distribution(ranks: NDArray[np.int64]) -> Floats:
    """The chance of each rank sum from 0 up when every rank is positive or negative at even odds."""
    chance = np.zeros(int(ranks.sum()) + 1)
    chance[0] = 1.0
    for rank in ranks:
        moved = np.zeros_like(chance)
        moved[rank:] = chance[: chance.size - rank]
        chance = (chance + moved) / 2
    return chance


def _beyond(finite: Floats) -> float:
    """A difference so large that no average with a finite one looks finite."""
    return 8 * float(np.abs(finite).max(initial=1.0))


def _unbounded(value: float, change: Floats, a: Floats, b: Floats) -> float:
    """The value, or an infinity where it stands for an average in which an infinite difference wins."""
    with np.errstate(invalid="ignore"):
        infinite = np.isinf(b - a)
    if not infinite.any() or abs(value) <= np.abs(change[~infinite]).max(initial=1.0):
        return value
    return math.copysign(math.inf, value)
