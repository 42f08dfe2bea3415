"""Three or more systems on the same cases: their order, and how much of it is chance.

All functions take ``goodness``, an array of shape (cases, systems) in which more is better (turn
distances round with a minus sign) and an infinity is the worst or best rank; no NaN.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

# scipy.stats loads at its first use: most runs of `medseg evaluate` need none of it.
import scipy
from numpy.typing import NDArray

from medseg.report.statistics import Floats, draws

RESAMPLES = 1000


@dataclass(frozen=True)
class Friedman:
    """The Friedman test over all systems, and Nemenyi's comparison of each pair after it.

    Attributes:
        statistic: chi-squared with (systems - 1) degrees of freedom, corrected for ties.
        p_value: 1 where all systems are equal on every case.
        mean_ranks: of each system, 1 is best.
        critical_difference: mean ranks nearer than this are not told apart at 5 %.
        nemenyi: p-value of each pair, shape (systems, systems), 1 on the diagonal.
    """

    statistic: float
    p_value: float
    mean_ranks: Floats
    critical_difference: float
    nemenyi: Floats


@dataclass(frozen=True)
class Stability:
    """How a ranking holds when the patients are drawn again.

    Attributes:
        order: rank of each system on the patients as they are, 1 is best, shared ranks averaged.
        shares: shape (systems, systems); how often system i (row) got rank j + 1 (column).
        kendall_tau: mean agreement of the drawn rankings with ``order``, 1 is the same order every time.
    """

    order: Floats
    shares: Floats
    kendall_tau: float


def ranks_per_case(goodness: Floats) -> Floats:
    """The rank of each system on each case, 1 is best, ties share the mean rank."""
    return np.asarray(scipy.stats.rankdata(-goodness, axis=1))


def friedman(goodness: Floats, *, alpha: float = 0.05) -> Friedman:
    """The Friedman test and Nemenyi's critical difference.

    Source: Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 2006;7:1-30, 3.2.2.

    Raises:
        ValueError: fewer than three systems or two cases.
    """
    n, k = goodness.shape
    if k < 3 or n < 2:
        raise ValueError(f"{k} systems on {n} cases: the Friedman test needs three systems and two cases")
    mean_ranks = ranks_per_case(goodness).mean(axis=0)
    unit = math.sqrt(k * (k + 1) / (6 * n))
    gaps = np.abs(mean_ranks[:, None] - mean_ranks[None, :])
    pairs = scipy.stats.studentized_range.sf(gaps / unit * math.sqrt(2), k, np.inf)
    if (ranks_per_case(goodness) == (k + 1) / 2).all():
        statistic, p_value = 0.0, 1.0
    else:
        statistic, p_value = scipy.stats.friedmanchisquare(*ranks_per_case(goodness).T)
    critical = float(scipy.stats.studentized_range.ppf(1 - alpha, k, np.inf)) / math.sqrt(2) * unit
    return Friedman(float(statistic), float(p_value), mean_ranks, critical, np.clip(pairs, 0.0, 1.0))


def rank_then_aggregate(goodness: Floats) -> Floats:
    """The rank of each system by its mean rank over the cases."""
    return np.asarray(scipy.stats.rankdata(ranks_per_case(goodness).mean(axis=0)))


def aggregate_then_rank(goodness: Floats) -> Floats:
    """The rank of each system by its mean score; fewer infinitely bad cases come first."""
    return np.asarray(scipy.stats.rankdata(-_bounded(goodness).mean(axis=0)))


def rank_stability(
    goodness: Floats,
    patients: Sequence[Hashable] | None = None,
    *,
    by_mean: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Stability:
    """How often each system gets each rank when patients are drawn with replacement.

    Args:
        patients: whose scan each case is; one patient per case where left out.
        by_mean: rank the mean scores; otherwise the mean ranks.

    Source: Wiesenfarth et al., Sci Rep 2021;11:2369, doi:10.1038/s41598-021-82017-6.
    """
    owner = _owners(goodness.shape[0], patients)
    worth = _bounded(goodness) if by_mean else -ranks_per_case(goodness)
    order = scipy.stats.rankdata(-worth.mean(axis=0))
    drawn = np.concatenate(
        [_ranks_of(times[:, owner], worth) for times in draws(owner.max() + 1, resamples, seed)]
    )
    k = goodness.shape[1]
    # A shared rank (1.5) counts half for each of the ranks that it spans.
    columns = np.arange(1, k + 1)
    shares = (np.clip(1 - np.abs(drawn[:, :, None] - columns), 0, 1)).mean(axis=0)
    kendalltau = scipy.stats.kendalltau
    taus = [kendalltau(order, ranking).statistic for ranking in drawn] if np.ptp(order) else [math.nan]
    return Stability(
        np.asarray(order), shares, float(np.nanmean(taus)) if not np.isnan(taus).all() else math.nan
    )


def _owners(n_cases: int, patients: Sequence[Hashable] | None) -> NDArray[np.int64]:
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(p, len(number)) for p in patients or range(n_cases)], dtype=np.int64)


def _ranks_of(times: Floats, worth: Floats) -> Floats:
    """The ranking of each resample, shape (resamples, systems)."""
    return np.asarray(scipy.stats.rankdata(-(times @ worth) / times.sum(axis=1, keepdims=True), axis=1))


def _bounded(goodness: Floats) -> Floats:
    """Infinities as finite scores, one of which outweighs every finite score of all cases together."""
    finite = goodness[np.isfinite(goodness)]
    beyond = 2 * (len(goodness) + 1) ** 2 * float(np.abs(finite).max(initial=1.0))
    return np.nan_to_num(goodness, posinf=beyond, neginf=-beyond)
