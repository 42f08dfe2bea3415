"""From ``report.json`` to the table, and what a page makes of lesions and of people's agreement."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medseg.errors import DataError
from medseg.report import Human, Lesion, Scores, read_scores, report_page, scores_of
from medseg.report.lesions import lesion_rows


def document() -> dict[str, Any]:
    """Two cases of one structure, as `medseg evaluate` writes them: one found in part, one lost."""
    lesion = {"kind": "found", "volume_mm3": 2500.0, "prediction_mm3": 2000.0, "dice": 0.8, "hd95_mm": 1.5}
    invented = {"kind": "invented", "volume_mm3": 0.0, "prediction_mm3": 40, "dice": 0, "hd95_mm": 374}
    structure = {"name": "tumour", "status": "ok", "metrics": {"dice": 0.8, "hd95_mm": 1.5}, "penalised": {}}
    seen = {**structure, "lesions": [lesion, invented]}
    lost = {**structure, "status": "missed", "metrics": {"dice": 0, "hd95_mm": "inf"}, "lesions": []}
    case = {
        "case": "a",
        "patient": "p",
        "status": "ok",
        "message": None,
        "flags": ["reoriented"],
        "image": [],
    }
    file = {"path": "a.nii.gz", "sha256": "ab" * 32}
    metrics = [("dice", "Dice", "", "higher"), ("hd95_mm", "HD95", "mm", "lower")]
    return {
        "format": "medseg-report/1",
        "versions": {"medseg": "0.1.0"},
        "definition": {"name": "medseg/1", "text": "In words.", "spacing_sources": ["reference's header"]},
        "inputs": {"predictions": "../p", "references": "../r", "manifest": None, "split": None},
        "structures": [{"name": "tumour", "numbers": [1], "tolerances_mm": [1.0]}],
        "metrics": [dict(zip(("name", "title", "unit", "better"), m, strict=True)) for m in metrics],
        "cases": [
            {**case, "prediction": file, "reference": file, "structures": [seen]},
            {**case, "case": "b", "flags": [], "prediction": file, "reference": file, "structures": [lost]},
        ],
        "summary": [{"structure": "tumour", "metric": "hd95_mm", "penalised_mean": 50.25}],
        "unmatched": {"predictions": ["stray.nii.gz"], "references": []},
    }


def test_infinities_statuses_files_and_prices_come_over() -> None:
    scores = scores_of(document())
    assert scores.column("tumour", "hd95_mm").tolist() == [1.5, math.inf]
    assert scores.statuses["tumour"] == ("ok", "missed")
    assert scores.penalised["tumour", "hd95_mm"] == 50.25
    assert scores.cases[0].files[1].path == "../p/a.nii.gz"
    assert scores.title == "p"


def test_stray_predictions_and_flags_are_told() -> None:
    notes = " ".join(scores_of(document()).method.notes)
    assert "stray.nii.gz" in notes
    assert "reoriented (1)" in notes


def test_lesions_are_counted_by_kind_and_size() -> None:
    rows = lesion_rows(scores_of(document()).lesions)
    assert [(r.size, r.n_reference, r.n_found, r.n_invented) for r in rows] == [
        ("all", 1, 1, 1),
        ("under 0.1 ml", 0, 0, 1),
        ("over 1 ml", 1, 1, 0),
    ]
    assert rows[0].sensitivity == 1.0
    assert math.isnan(rows[1].sensitivity)


def test_lesions_too_small_to_count_are_in_no_row() -> None:
    assert lesion_rows([Lesion("a", "tumour", "too_small", 0.01, math.nan, 0.0, 374.0)]) == []


def test_a_page_shows_the_lesion_table_where_lesions_were_scored() -> None:
    page = report_page(scores_of(document()))
    assert "By size of the lesion" in page
    assert "Every lesion (2)" in page


def test_how_well_people_agree_is_drawn_with_its_source(made_up: Callable[..., Scores]) -> None:
    human = Human("anterior", "dice", 0.88, "a paper & a table")
    page = report_page(replace(made_up(), human=(human,)))
    assert page.count('<path class="human" d="M13 ') == 1
    assert page.count('<path class="human"') == 2
    assert "anterior: people agree to 0.880 (a paper &amp; a table)" in page


def test_a_folder_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(DataError, match="medseg-report/1"):
        read_scores(tmp_path)


def test_a_report_that_breaks_its_schema_is_refused_with_its_place(tmp_path: Path) -> None:
    broken = document()
    del broken["cases"][0]["flags"]
    (tmp_path / "report.json").write_text(json.dumps(broken))
    with pytest.raises(DataError, match="does not follow its schema"):
        read_scores(tmp_path)


def test_a_table_of_a_synthetic_manifest_says_so() -> None:
    told = document()
    told["inputs"]["manifest"] = {"name": "synthetic_phantom", "description": ""}
    assert scores_of(told).method.synthetic
    assert not scores_of(told, synthetic=False).method.synthetic
