from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from medseg.errors import MedsegError
from medseg.report import Scores, System, compare_systems, write_comparison
from medseg.report.comparison_page import comparison_page

Make = Callable[..., Scores]


@pytest.fixture
def systems(made_up: Make) -> list[System]:
    return [System(name, made_up(seed=seed)) for name, seed in (("ours", 1), ("theirs", 2), ("old", 3))]


def test_pairs_are_tested_on_cases_that_both_could_score(systems: list[System]) -> None:
    found = compare_systems(systems[:2])
    row = found.pairs[0]
    a, b = (s.scores.column("anterior", "dice")[2:] for s in systems[:2])
    theirs = stats.wilcoxon(b, a, zero_method="pratt", method="approx").pvalue
    assert (row.structure, row.metric.name, row.result.n, len(found.cases)) == ("anterior", "dice", 39, 39)
    assert row.result.ties == 3
    assert row.result.p_value == pytest.approx(theirs, abs=0.03)


def test_a_missing_prediction_counts_as_the_worst(made_up: Make) -> None:
    ours, theirs = made_up(seed=1), made_up(seed=1)
    theirs.statuses["anterior"] = ("", "ok", *theirs.statuses["anterior"][2:])  # type: ignore[index]
    theirs.values["anterior", "hd95_mm"][1] = 3.0
    found = compare_systems([System("a", ours), System("b", theirs)])
    row = next(r for r in found.pairs if (r.structure, r.metric.name) == ("anterior", "hd95_mm"))
    assert (row.result.wins, row.result.losses, row.result.n_dropped) == (1, 0, 0)


def test_holm_runs_over_all_structures_and_metrics(systems: list[System]) -> None:
    found = compare_systems(systems[:2])
    smallest = min(found.pairs, key=lambda row: row.result.p_value)
    assert smallest.p_holm == pytest.approx(min(1.0, smallest.result.p_value * len(found.pairs)))


def test_cases_that_one_system_lacks_are_counted(made_up: Make) -> None:
    few, many = made_up(30), made_up(40)
    found = compare_systems([System("few", few), System("many", many)])
    assert (len(found.cases), found.n_left_out) == (29, (1, 11))


def test_other_definitions_are_not_compared(systems: list[System]) -> None:
    other = replace(systems[1].scores, method=replace(systems[1].scores.method, definition="monai/1.6.1"))
    with pytest.raises(MedsegError, match="one definition"):
        compare_systems([systems[0], System("theirs", other)])


def test_two_folders_of_one_name_are_refused(systems: list[System]) -> None:
    with pytest.raises(MedsegError, match="different names"):
        compare_systems([systems[0], systems[0]])


def test_cases_of_one_patient_are_told(systems: list[System]) -> None:
    assert "39 cases come from 20 patients" in compare_systems(systems[:2]).notes[0]


def test_three_systems_are_ranked_in_both_orders(systems: list[System]) -> None:
    found = compare_systems(systems)
    assert len(found.pairs) == 3 * 2 * 4
    assert len(found.ranks) == 2 * 4
    assert sorted(found.ranks[0].by_rank.order.tolist()) == [1, 2, 3]
    assert found.ranks[0].by_mean.shares.shape == (3, 3)


def test_the_page_has_the_critical_difference_picture_only_for_three_systems(systems: list[System]) -> None:
    assert "critical difference</text>" in comparison_page(compare_systems(systems))
    assert "critical difference</text>" not in comparison_page(compare_systems(systems[:2]))


def test_hostile_names_are_escaped_on_the_comparison(made_up: Make) -> None:
    scores = made_up()
    cases = (*scores.cases[:5], replace(scores.cases[5], name='"><script>x</script>'), *scores.cases[6:])
    systems = [
        System("<img src=x>", replace(scores, cases=cases)),
        System("b", replace(made_up(seed=9), cases=cases)),
    ]
    page = comparison_page(compare_systems(systems))
    assert "<script>x" not in page
    assert "<img" not in page


def test_the_table_is_written_beside_the_page(systems: list[System], tmp_path: Path) -> None:
    page = write_comparison(compare_systems(systems), tmp_path)
    lines = (tmp_path / "comparison.csv").read_text().splitlines()
    assert page.name == "comparison.html"
    assert len(lines) == 1 + 24
    assert np.isfinite(float(lines[1].split(",")[9]))
