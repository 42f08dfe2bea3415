"""Patients' names stay out of what is written and said, however they are spelt."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pydicom
import pytest

from medseg.inference.intake import gather
from medseg.inference.privacy import redacted, without_names
from tests.dicom_files import ct
from tests.toy_bundle import write_scan


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("MULLER_JURGEN.nii", "***_***.nii"),
        ("Mueller, Juergen", "***, ***"),
        (unicodedata.normalize("NFD", "Müller"), "***"),
        ("born 13.01.1970 or 1970-01-13", "born *** or ***"),
        ("in the bin of Li", "in the bin of ***"),
        ("ŁUKASZ", "***"),
        ("nothing", "nothing"),
    ],
)
def test_names_are_hidden_without_accents_spelt_out_and_short(said: str, expected: str) -> None:
    assert redacted(said, ["Müller^Jürgen", "19700113", "Li", "Łukasz"]) == expected


def test_text_without_a_name_keeps_its_accents() -> None:
    text = unicodedata.normalize("NFD", "Schädel")
    assert redacted(text, ["Doe^Jane"]) == text


def test_a_folder_spelt_as_dicom_spells_names_is_hidden_whatever_the_headers_say() -> None:
    assert without_names(["pacs", "ROE^RICHARD", "CT"], [], "12345678") == ("pacs", "series_12345678", "CT")


def test_one_header_hides_the_name_in_every_file_of_the_run(tmp_path: Path) -> None:
    files = ct(tmp_path / "in" / "study")
    data = pydicom.dcmread(files[0])
    data.OtherPatientNames, data.PatientBirthName = ["Roe^Jane"], "Smith^Jane"
    data.save_as(files[0])
    (tmp_path / "in" / "damaged_doe.dcm").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "in" / "smith.dcm").write_bytes(b"")
    write_scan(tmp_path / "in" / "ROE_t1.nii.gz")
    write_scan(tmp_path / "in" / "other.nii.gz")
    cases = gather([str(tmp_path / "in")], tmp_path / "out")
    said = " ".join(f"{case.name} {case.output.relative_to(tmp_path)}" for case in cases).lower()
    assert len(cases) == 5
    assert [word for word in ("doe", "roe", "smith", "jane") if word in said] == []
    assert {"study", "other"} <= {case.name for case in cases}
    kept = gather([str(tmp_path / "in")], tmp_path / "out", with_names=True)
    assert "ROE_t1" in {case.name for case in kept}


def test_a_list_names_cases_as_it_likes(tmp_path: Path) -> None:
    ct(tmp_path / "study")
    (tmp_path / "list.csv").write_text("case,image\n4711,study\n")
    (case,) = gather([str(tmp_path / "list.csv")], tmp_path / "out")
    assert case.name == "4711"
