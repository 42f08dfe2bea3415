"""`medseg evaluate` as a user types it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import jsonschema
import nibabel as nib
import numpy as np
import pytest

from medseg.cli.app import main
from medseg.evaluation import schema


def _save(array: np.ndarray, path: Path, affine: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)


def _run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    return int(stopped.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    reference = np.zeros((16, 14, 12), np.uint8)
    reference[4:10, 4:10, 4:9] = 1
    reference[5:7, 5:7, 5:7] = 2
    for case in ("case_1", "case_2", "case_3"):
        _save(reference, tmp_path / "references" / f"{case}.nii.gz", np.diag([1.0, 1.0, 2.0, 1.0]))
    for case, shift in (("case_1", 0), ("case_2", 1)):
        moved = np.roll(reference, shift, axis=2)
        _save(moved, tmp_path / "predictions" / f"{case}_seg.nii.gz", np.diag([1.0, 1.0, 2.0, 1.0]))
    return tmp_path


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def _values(path: Path) -> dict[tuple[str, str, str], tuple[float, str]]:
    rows = _rows(path)
    return {(r["case"], r["structure"], r["metric"]): (float(r["value"]), r["status"]) for r in rows}


def _evaluate(folder: Path, *more: object) -> int:
    places = ("--predictions", folder / "predictions", "--references", folder / "references")
    return _run("evaluate", *places, "-o", folder / "out", *more)


def test_a_missing_prediction_is_a_row_and_counts_in_the_penalised_mean(folder: Path) -> None:
    assert _evaluate(folder, "--labels", "organ=1+2,tumour=2") == 0
    values = _values(folder / "out" / "cases.csv")
    assert values["case_3", "organ", "dice"][1] == "missing_prediction"
    assert values["case_1", "organ", "dice"] == (1.0, "ok")
    assert values["case_2", "organ", "hausdorff_mm"] == (2.0, "ok")
    summary = {(r["structure"], r["metric"]): r for r in _rows(folder / "out" / "summary.csv")}
    diagonal = np.linalg.norm([16, 14, 24])
    row = summary["organ", "hausdorff_mm"]
    assert (row["n"], row["n_finite"], row["n_missing_prediction"]) == ("3", "2", "1")
    assert float(row["mean"]) == 1.0
    assert float(row["penalised_mean"]) == pytest.approx((0 + 2 + diagonal) / 3)


def test_the_report_holds_to_its_schema(folder: Path) -> None:
    assert _evaluate(folder, "--labels", "organ=1,tumour=2", "--tolerance", "organ=5,2") == 0
    report = json.loads((folder / "out" / "report.json").read_text())
    jsonschema.validate(report, schema())
    assert report["structures"][0]["tolerances_mm"] == [5.0]
    assert report["cases"][0]["prediction"]["path"] == "case_1_seg.nii.gz"


def test_a_corrupt_prediction_is_an_error_row_and_exit_code_3(folder: Path) -> None:
    path = folder / "predictions" / "case_2_seg.nii.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert _evaluate(folder, "--labels", "organ=1") == 3
    values = _values(folder / "out" / "cases.csv")
    assert values["case_2", "", ""][1] == "error:unreadable"
    assert values["case_1", "organ", "dice"] == (1.0, "ok")


def test_regions_are_given_one_after_another(folder: Path) -> None:
    assert _evaluate(folder, "--regions", "WT=1+2", "TC=2") == 0
    assert ("case_1", "TC", "dice") in _values(folder / "out" / "cases.csv")


def test_an_earlier_evaluation_is_kept_unless_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _evaluate(folder, "--labels", "organ=1") == 0
    assert _evaluate(folder, "--labels", "organ=1") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert _evaluate(folder, "--labels", "organ=1", "--overwrite") == 0


def test_an_unknown_preset_is_told_with_the_known_ones(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _evaluate(folder, "--preset", "monay") == 2
    assert "metrics_reloaded" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("--labels", "organ = 1, left tumour = 2"),
        ("--labels", "organ=1", "left tumour=2"),
        ("--labels", "organ=1 left tumour=2", "--tolerance", "organ=5", "left tumour=2"),
        ("--regions", "organ = 1;left tumour=2"),
    ],
)
def test_names_and_numbers_are_understood_as_people_spell_them(folder: Path, words: tuple[str, ...]) -> None:
    assert _evaluate(folder, *words) == 0
    structures = json.loads((folder / "out" / "report.json").read_text())["structures"]
    assert {s["name"]: s["numbers"] for s in structures} == {"organ": [1], "left tumour": [2]}
    assert "--tolerance" not in words or [s["tolerances_mm"] for s in structures] == [[5.0], [2.0]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--labels", "organ=1,organ=2"), "'organ' twice"),
        (("--labels", "all=1"), "a structure 'all'"),
        (("--labels", "organ=99999999999999999999"), "a name and numbers"),
        (("--labels", "organ=1", "--tolerance", "organ=5", "tumour=2"), "a tolerance for 'tumour'"),
        (("--split", "validation"), "--split validation; expected a manifest"),
        (("--fold", "0"), "--fold 0; expected a manifest"),
    ],
)
def test_what_would_be_passed_over_is_refused(
    folder: Path, words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _evaluate(folder, *words) == 2
    assert told in capsys.readouterr().err
