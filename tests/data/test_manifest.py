"""Manifests are read and written without loss, refuse what cannot be used, and MONAI reads them too."""

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from monai.data import load_decathlon_datalist

from medseg.data import Case, Manifest, datalist, read_manifest, write_manifest
from medseg.errors import ManifestError, OutputError

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "data_manifests/schema.json").read_text())
HIPPOCAMPUS = ROOT / "data_manifests/msd_hippocampus.json"


def small() -> Manifest:
    return Manifest(
        name="small",
        version="1",
        channels=("A", "B"),
        labels={"x": 1, "both": (1, 2)},
        regions={"all": (1, 2)},
        relabel={255: 1},
        download={"url": "https://a.b/c.tar", "md5": "0" * 32},
        items=(
            Case(
                "a", "p", ("a0.nii", "a1.nii"), "a.nii", {"image": ("0" * 64, "1" * 64)}, 0, extra={"age": 3}
            ),
            Case("b", "p", ("b0.nii", "b1.nii"), "b.nii", fold=1),
            Case("c", "q", ("c0.nii",), split="test"),
        ),
    )


def test_a_manifest_survives_writing_and_reading(tmp_path):
    assert read_manifest(write_manifest(small(), tmp_path / "m.json")) == small()


def test_a_written_manifest_meets_the_schema_and_has_one_case_per_line(tmp_path):
    text = write_manifest(small(), tmp_path / "m.json").read_text()
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(text))
    assert [line.count('"case"') for line in text.splitlines() if '"case"' in line] == [1, 1, 1]


def test_the_shipped_manifest_meets_the_schema_and_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(HIPPOCAMPUS.read_text()))


def test_a_manifest_is_not_overwritten_unasked(tmp_path):
    path = write_manifest(small(), tmp_path / "m.json")
    with pytest.raises(OutputError, match="exists"):
        write_manifest(small(), path)
    assert write_manifest(small(), path, overwrite=True) == path


def test_folds_part_the_cases():
    inside = small().cases("training", fold=1, held_out=True)
    assert [c.case for c in inside] == ["b"]
    assert [c.case for c in small().cases("training", fold=1)] == ["a"]


@pytest.mark.parametrize(("split", "fold"), [("train", None), (None, 7), ("test", 0)])
def test_a_split_or_fold_that_is_not_there_is_refused(split, fold):
    with pytest.raises(ManifestError):
        small().cases(split, fold)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": [1]},
        {"labels": {"x": "one"}},
        {"labels": {"x": True}},
        {"channels": "MR"},
        {"relabel": {"x": 1}},
        {"training": {}},
        {"training": ["a.nii"]},
        {"training": [{"case": "a"}]},
        {"training": [{"case": "a", "image": []}]},
        {"training": [{"case": "a", "image": "../a.nii"}]},
        {"training": [{"case": "a", "image": "/etc/passwd"}]},
        {"training": [{"case": "a", "image": "C:\\a.nii"}]},
        {"training": [{"case": "a", "image": "a.nii", "fold": "1"}]},
        {"training": [{"case": "a", "image": "a.nii"}], "test": [{"case": "a", "image": "b.nii"}]},
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused_with_its_path(tmp_path, change):
    good = {"name": "m", "version": "1", "channels": ["MR"], "labels": {"x": 1}, "training": []}
    (tmp_path / "m.json").write_text(json.dumps(good | change))
    with pytest.raises(ManifestError, match=r"m\.json"):
        read_manifest(tmp_path / "m.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"x"', "\x00\xff"])
def test_what_is_not_a_manifest_is_refused(tmp_path, text):
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(ManifestError):
        read_manifest(tmp_path / "m.json")


def test_a_missing_manifest_a_missing_folder_and_missing_files_are_each_named(tmp_path):
    with pytest.raises(ManifestError, match="no manifest at"):
        read_manifest(tmp_path / "no.json")
    with pytest.raises(ManifestError, match="no folder"):
        datalist(small(), tmp_path / "no", "training")
    with pytest.raises(ManifestError, match=r"6 of 6 files of small .* first a0\.nii"):
        datalist(small(), tmp_path, "training")


def test_the_datalist_gives_absolute_paths_and_a_list_where_channels_have_files(tmp_path):
    for name in ("c0.nii", "a0.nii", "a1.nii", "a.nii", "b0.nii", "b1.nii", "b.nii"):
        (tmp_path / name).touch()
    assert datalist(small(), tmp_path, "test") == [
        {"case": "c", "patient": "q", "image": str(tmp_path / "c0.nii")}
    ]
    rows = datalist(small(), tmp_path, "training", fold=0, held_out=True)
    assert rows[0]["image"] == [str(tmp_path / "a0.nii"), str(tmp_path / "a1.nii")]
    assert rows[0]["label"] == str(tmp_path / "a.nii")
    assert rows[0]["relabel"] == {255: 1}


def test_the_datalist_brings_channels_to_the_order_that_is_asked_for(tmp_path):
    for name in ("a0.nii", "a1.nii", "a.nii"):
        (tmp_path / name).touch()
    one = replace(small(), items=small().items[:1])
    (row,) = datalist(one, tmp_path, "training", channels=["B", "A"])
    assert row["image"] == [str(tmp_path / "a1.nii"), str(tmp_path / "a0.nii")]
    with pytest.raises(ManifestError, match="none of them C"):
        datalist(one, tmp_path, "training", channels=["B", "C"])


@pytest.mark.parametrize(("split", "count"), [("training", 170), ("validation", 39), ("test", 51)])
def test_monai_reads_the_shipped_manifest(split, count):
    rows = load_decathlon_datalist(str(HIPPOCAMPUS), True, split, "/somewhere")
    assert len(rows) == count
    assert rows[0]["image"].startswith("/somewhere/imagesTr/hippocampus_")


@pytest.mark.data
def test_the_hippocampus_manifest_agrees_with_the_table_of_cases():
    table = Path(os.environ["MEDSEG_TEST_DATA"]) / "msd_hippocampus/cases.csv"
    rows = {tuple(row.values()) for row in csv.DictReader(table.read_text().splitlines())}
    cases = read_manifest(HIPPOCAMPUS).cases()
    ours = {(c.case, c.patient, c.split, *c.sha256["image"], *c.sha256["label"]) for c in cases}
    assert len(cases) == 260
    assert ours == rows


def test_no_patient_of_the_shipped_manifest_is_in_two_splits():
    cases = read_manifest(HIPPOCAMPUS).cases()
    assert len({(c.patient, c.split) for c in cases}) == len({c.patient for c in cases}) == 170
