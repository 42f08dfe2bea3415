"""How often a 95 % interval holds the truth, for scores as segmentation makes them.

    python benchmarks/intervals.py            # 1000 repeats of each row
    python benchmarks/intervals.py --repeats 200

Scores are synthetic: Dice from a skewed beta distribution, 6 % of cases failed outright (Dice 0 to 0.3). Each
row draws n patients, makes the interval of the mean and of the median with the functions of the report, and
counts how often it holds the mean and the median of the whole distribution. ``clustered`` gives each patient
two scans that share most of their luck; ``ignored`` is the same with the patients unknown.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from medseg.report.statistics import Interval, draws, mean_interval, median_interval

FAILS = 0.06
RESAMPLES = 1000


def scores(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Dice of n independent cases."""
    good = rng.beta(20, 2.2, n)
    return np.asarray(np.where(rng.random(n) < FAILS, rng.uniform(0, 0.3, n), good))


def percentile_mean(values: NDArray[np.float64], seed: int) -> Interval:
    """The plain percentile interval of the mean, for comparison."""
    drawn = np.concatenate([t @ values / values.size for t in draws(values.size, RESAMPLES, seed)])
    return Interval(*np.quantile(drawn, [0.025, 0.975]))


def holds(ends: Interval, truth: float) -> bool:
    """Whether the truth lies inside."""
    return ends.low <= truth <= ends.high


def coverage(n: int, repeats: int, truth: tuple[float, float]) -> list[float]:
    """The share of intervals that hold the truth: BCa mean, percentile mean, percentile median, ignored."""
    rng = np.random.default_rng(n)
    hits = np.zeros(5)
    for seed in range(repeats):
        values = scores(n, rng)
        # A second scan of each patient: the same score with a little noise of its own.
        pairs = np.clip(np.repeat(values, 2) + rng.normal(0, 0.01, 2 * n), 0, 1)
        patients = np.repeat(np.arange(n), 2).tolist()
        options = {"resamples": RESAMPLES, "seed": seed}
        hits += [
            holds(mean_interval(values, **options), truth[0]),
            holds(percentile_mean(values, seed), truth[0]),
            holds(median_interval(values, **options), truth[1]),
            holds(mean_interval(pairs, patients, **options), truth[0]),
            holds(mean_interval(pairs, **options), truth[0]),
        ]
    return (hits / repeats).tolist()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Coverage of the report's intervals.")
    parser.add_argument("--repeats", type=int, default=1000)
    repeats = parser.parse_args().repeats
    everyone = scores(2_000_000, np.random.default_rng(0))
    truth = float(everyone.mean()), float(np.median(everyone))
    print(f"synthetic Dice, mean {truth[0]:.4f}, median {truth[1]:.4f}, {repeats} repeats, nominal 0.95")
    print("patients  mean BCa  mean percentile  median percentile  two scans: clustered  two scans: ignored")
    for n in (10, 20, 50, 100, 200):
        bca, plain, median, clustered, ignored = coverage(n, repeats, truth)
        print(f"{n:8d}  {bca:8.3f}  {plain:15.3f}  {median:17.3f}  {clustered:20.3f}  {ignored:18.3f}")


if __name__ == "__main__":
    main()
