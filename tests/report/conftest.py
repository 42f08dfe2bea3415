"""Report tables made up from a seed, for tests: synthetic numbers, no scan behind them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from medseg.report import Case, File, Method, Metric, Scores

METRICS = (
    Metric("dice", "Dice", "", "higher"),
    Metric("hd95_mm", "HD95", "mm", "lower"),
    Metric("nsd_1mm", "Normalised surface Dice at 1 mm", "", "higher"),
    Metric("nsd_2mm", "Normalised surface Dice at 2 mm", "", "higher"),
    Metric("assd_mm", "Average symmetric surface distance", "mm", "lower"),
    Metric("volume_reference_ml", "Reference volume", "ml"),
    Metric("volume_prediction_ml", "Predicted volume", "ml"),
    Metric("volume_difference_ml", "Volume difference, signed", "ml"),
)


def made_up_scores(
    n_cases: int = 40, structures: tuple[str, ...] = ("anterior", "posterior"), seed: int = 7
) -> Scores:
    """A table with every kind of failure in its first cases."""
    rng = np.random.default_rng(seed)
    values, statuses = {}, {}
    for name in structures:
        dice = rng.beta(18, 3, n_cases)
        volume = rng.lognormal(1.0, 0.6, n_cases)
        distance = 1 + 12 * (1 - dice) ** 1.5 * rng.lognormal(0, 0.3, n_cases)
        status = ["", "missing_prediction", "missed", "false_alarm"] + ["ok"] * (n_cases - 4)
        dice[:2], dice[2:4] = np.nan, 0
        distance[:2], distance[2:4] = np.nan, np.inf
        volume[[0, 3]] = np.nan, 0
        predicted = volume * rng.normal(1.02, 0.08, n_cases)
        predicted[[1, 2, 3]] = np.nan, 0, 0.4
        columns = (dice, distance, dice**1.5, dice**0.5, distance / 4, volume, predicted, predicted - volume)
        values.update({(name, m.name): column for m, column in zip(METRICS, columns, strict=True)})
        statuses[name] = tuple(status)
    cases = [Case(f"case_{i:03d}", f"P{i // 2:03d}", files=_files(i)) for i in range(n_cases)]
    cases[0] = Case(
        "<script>alert(1)</script>", "P000", "error:geometry_mismatch", "other spacing: 1 mm, not 2 mm"
    )
    cases[1] = Case("case_001", "P000", "missing_prediction")
    penalised = {(name, "dice"): 0.8 for name in structures} | {(name, "hd95_mm"): 9.5 for name in structures}
    return Scores("Made-up table", METHOD, structures, METRICS, tuple(cases), values, statuses, penalised)


METHOD = Method(
    definition="medseg/1",
    text="Distances run between voxel centres.",
    tolerances_mm={"anterior": (1.0, 2.0), "posterior": (1.0, 2.0)},
    spacing_source="reference's header",
    versions={"medseg": "0.1.0"},
    synthetic=True,
)


def _files(number: int) -> tuple[File, ...]:
    return (
        File("reference", f"r/{number}.nii.gz", f"{number:064x}"),
        File("prediction", f"p/{number}.nii.gz", ""),
    )


@pytest.fixture(scope="session")
def made_up() -> Callable[..., Scores]:
    """The function that makes up a table."""
    return made_up_scores
