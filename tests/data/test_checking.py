"""A fault planted for every check is found in the case where it was planted, and no twin is accused."""

import gzip
import json
import os
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import jsonschema
import nibabel as nib
import numpy as np
import pytest
from PIL import Image as Picture

from medseg.data import Case, Manifest, read_manifest
from medseg.data.checking import SCHEMA, _request, check, format_fixes, format_report
from medseg.data.child import HERE
from medseg.data.cohort import cohort_findings
from medseg.data.findings import worst_first
from medseg.data.phantoms import write_phantoms
from medseg.data.profile import profile
from medseg.data.synthesis import phantom
from medseg.errors import ManifestError

VICTIM = "phantom_003"


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    write_phantoms(folder, 9, 4, size=16)
    return folder


@pytest.fixture
def data(clean, tmp_path):
    shutil.copytree(clean, tmp_path / "d")
    return tmp_path / "d"


def findings(folder, manifest=None):
    """Every finding, all files read in this process."""
    known = manifest or read_manifest(folder / "manifest.json")
    profiles = [profile(_request(known, folder, c, False, True), HERE) for c in known.items]
    return worst_first([f for p in profiles for f in p.findings] + cohort_findings(known, profiles))


def accused(found):
    return {(f.rule, f.case) for f in found}


def file(folder, kind="t1", case=VICTIM):
    return folder / (f"labels/{case}.nii.gz" if kind == "label" else f"images/{case}_{kind}.nii.gz")


def change(path, edit=None, affine=None, **header):
    """Write a volume anew after `edit` of its voxels, another affine, or raw header fields."""
    old = nib.load(path)
    array = np.asarray(old.dataobj).copy()
    array = array if edit is None else edit(array)
    new = nib.Nifti1Image(array, old.affine if affine is None else affine)
    new.set_qform(new.affine, 1, strip_shears=True)
    new.set_sform(new.affine, 1)
    content = new.to_bytes()
    spoilt = nib.Nifti1Header(content[:348], check=False)
    for key, value in header.items():
        spoilt[key] = value
    path.write_bytes(gzip.compress(spoilt.binaryblock + content[348:]))


def affine_of(path):
    return nib.load(path).affine.copy()


def test_clean_phantoms_are_not_accused(clean):
    assert findings(clean) == []


def missing(d):
    file(d).unlink()


def empty(d):
    file(d).write_bytes(b"")


def truncated(d):
    file(d).write_bytes(gzip.compress(gzip.decompress(file(d).read_bytes())[:-100]))


def unreadable(d):
    file(d).write_bytes(file(d).read_bytes()[:-20])


def label_missing(d):
    file(d, "label").unlink()


def other_shape(d):
    change(file(d, "label"), lambda a: a[:-1])


def other_spacing(d):
    affine = affine_of(file(d, "label"))
    affine[:3, 0] *= 1.1
    change(file(d, "label"), affine=affine)


def shifted(d):
    affine = affine_of(file(d, "label"))
    affine[0, 3] += 3
    change(file(d, "label"), affine=affine)


def other_orientation(d):
    affine = affine_of(file(d, "label"))
    affine[:3, 0] *= -1
    change(file(d, "label"), affine=affine)


def flipped_storage(d):
    affine = affine_of(file(d, "label"))
    n = nib.load(file(d, "label")).shape[0]
    affine[:3, 3] += affine[:3, 0] * (n - 1)
    affine[:3, 0] *= -1
    change(file(d, "label"), lambda a: a[::-1], affine=affine)


def turned(d):
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
    change(file(d, "label"), affine=turn @ affine_of(file(d, "label")))


def channel_shifted(d):
    affine = affine_of(file(d, "t2"))
    affine[2, 3] -= 2
    change(file(d, "t2"), affine=affine)


def singular(d):
    change(file(d), srow_x=[0, 0, 0, 0], qform_code=0)


def not_finite_affine(d):
    change(file(d), srow_x=[np.nan] * 4, qform_code=0)


def sheared(d):
    affine = affine_of(file(d))
    affine[:3, 1] += 0.2 * affine[:3, 0]
    for kind in ("t1", "t1ce", "t2", "flair", "label"):
        change(file(d, kind), affine=affine)


def zero_spacing(d):
    change(file(d), pixdim=[1, 0, 1, 1, 1, 1, 1, 1])


def negative_spacing(d):
    change(file(d), pixdim=[1, -1, 1, 1, 1, 1, 1, 1])


def forms(d):
    change(file(d), qoffset_x=55)


def nan(d):
    change(file(d), lambda a: np.where(np.arange(a.size).reshape(a.shape) == 7, np.nan, a).astype(np.float32))


def infinite(d):
    change(file(d), lambda a: np.where(np.arange(a.size).reshape(a.shape) == 7, np.inf, a).astype(np.float32))


def constant(d):
    change(file(d), lambda a: np.full_like(a, 5))


def undeclared(d):
    change(file(d, "label"), lambda a: np.where(a == 1, 9, a).astype(np.uint8))


def negative_label(d):
    change(file(d, "label"), lambda a: np.where(a == 1, -1, a).astype(np.int16))


def not_integral(d):
    change(file(d, "label"), lambda a: a * np.float32(0.7))


def empty_label(d):
    change(file(d, "label"), np.zeros_like)


def huge(d):
    change(file(d, "label"), lambda a: np.where(np.indices(a.shape).sum(0) % 2 == 0, 1, a).astype(np.uint8))


def elsewhere(d):
    def corner(a):
        out = np.zeros_like(a)
        out[:3, :3, :3] = 2
        out[0, 0, 0] = 3
        return out

    change(file(d, "label"), corner)


def wrong_intensity(d):
    label = np.asarray(nib.load(file(d, "label")).dataobj)
    change(file(d), lambda a: np.where(label == 2, a.max() * 8, a).astype(np.float32))


def copied(d):
    for kind in ("t1", "t1ce", "t2", "flair"):
        shutil.copy(file(d, kind, "phantom_007"), file(d, kind))
    shutil.copy(file(d, "label", "phantom_007"), file(d, "label"))


def nearly_copied(d):
    copied(d)
    rng = np.random.default_rng(0)
    for kind in ("t1", "t1ce", "t2", "flair"):
        change(
            file(d, kind),
            lambda a: (1.7 * a + a.std() * 0.05 * rng.standard_normal(a.shape)).astype(np.float32),
        )
    change(
        file(d, "label"), lambda a: np.where(np.arange(a.size).reshape(a.shape) == 0, 2, a).astype(np.uint8)
    )


def channel_twice(d):
    shutil.copy(file(d, "t1"), file(d, "t1ce"))


def swapped(d):
    first, second = file(d, "t1"), file(d, "flair")
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def micrometres(d):
    affine = affine_of(file(d))
    affine[:3] *= 1000
    for kind in ("t1", "t1ce", "t2", "flair", "label"):
        change(file(d, kind), affine=affine)


def noise(d):
    change(file(d), lambda a: np.random.default_rng(0).normal(100, 30, a.shape).astype(np.float32))


def inverted(d):
    change(file(d), lambda a: (a.max() - a).astype(np.float32))


def trailing(d):
    file(d).write_bytes(gzip.compress(gzip.decompress(file(d).read_bytes()) + b"garbage"))


@pytest.mark.parametrize(
    ("plant", "rule"),
    [
        (missing, "missing"),
        (empty, "unreadable"),
        (truncated, "truncated"),
        (unreadable, "unreadable"),
        (label_missing, "missing"),
        (other_shape, "grid"),
        (other_spacing, "grid"),
        (shifted, "shift"),
        (other_orientation, "grid"),
        (flipped_storage, "orientation"),
        (turned, "grid"),
        (channel_shifted, "shift"),
        (singular, "affine"),
        (not_finite_affine, "affine"),
        (sheared, "affine"),
        (zero_spacing, "spacing"),
        (negative_spacing, "spacing"),
        (forms, "forms"),
        (nan, "not-finite"),
        (infinite, "not-finite"),
        (constant, "constant"),
        (undeclared, "label-values"),
        (negative_label, "label-values"),
        (not_integral, "label-integral"),
        (empty_label, "label-empty"),
        (huge, "outlier-volume"),
        (elsewhere, "outlier-position"),
        (wrong_intensity, "outlier-intensity"),
        (channel_twice, "duplicate"),
        (swapped, "channels-swapped"),
        (micrometres, "units"),
        (trailing, "trailing"),
        (noise, "outlier-image"),
        (inverted, "outlier-image"),
    ],
)
def test_a_planted_fault_is_found_and_nobody_else_is_accused(data, plant, rule):
    plant(data)
    found = findings(data)
    assert (rule, VICTIM) in accused(found)
    assert {f.case for f in found} == {VICTIM}
    assert all(f.found and f.expected and f.do for f in found)


@pytest.mark.parametrize(("plant", "rule"), [(copied, "duplicate"), (nearly_copied, "near-duplicate")])
def test_a_copy_is_found_in_the_other_split_where_it_blocks(data, plant, rule):
    plant(data)
    found = [f for f in findings(data) if f.rule == rule]
    assert [(f.case, f.severity) for f in found] == [("phantom_007", "blocks")]
    assert VICTIM in found[0].found


def test_a_copy_within_a_split_is_a_warning(data):
    for kind in ("t1", "t1ce", "t2", "flair", "label"):
        shutil.copy(file(data, kind, "phantom_001"), file(data, kind))
    found = [f for f in findings(data) if f.rule == "duplicate"]
    assert [f.severity for f in found] == ["warning"]


def test_a_wrong_hash_is_found(data):
    known = read_manifest(data / "manifest.json")
    items = [replace(c, sha256={"label": ("0" * 64,)} if c.case == VICTIM else {}) for c in known.items]
    assert accused(findings(data, known.with_cases(tuple(items)))) == {("hash", VICTIM)}


def test_a_patient_in_two_splits_and_in_two_folds_is_found(data):
    known = read_manifest(data / "manifest.json")
    same = [replace(c, patient="p") if c.case in (VICTIM, "phantom_008") else c for c in known.items]
    assert accused(findings(data, known.with_cases(tuple(same)))) == {
        ("patient-splits", VICTIM),
        ("patient-splits", "phantom_008"),
    }
    folds = [replace(c, patient="p", split="training", fold=n % 2) for n, c in enumerate(known.items)]
    assert {f.rule for f in findings(data, known.with_cases(tuple(folds)))} == {"patient-splits"}


def test_a_structure_that_is_nowhere_is_found(data):
    known = read_manifest(data / "manifest.json")
    found = findings(data, replace(known, labels={**known.labels, "cyst": 7}))
    assert [(f.rule, f.case) for f in found] == [("label-missing", "")]


def test_a_structure_that_all_others_have_is_missed(tmp_path):
    write_phantoms(tmp_path, 16, size=12)
    assert "structure-missing" not in {f.rule for f in findings(tmp_path)}
    change(file(tmp_path, "label"), lambda a: np.where(a == 3, 0, a).astype(np.uint8))
    found = [f for f in findings(tmp_path) if f.rule == "structure-missing"]
    assert [(f.case, f.severity) for f in found] == [(VICTIM, "warning")]


def test_the_wrong_number_of_channels_is_found(data):
    known = read_manifest(data / "manifest.json")
    items = [replace(c, image=c.image[:3]) if c.case == VICTIM else c for c in known.items]
    assert accused(findings(data, known.with_cases(tuple(items)))) == {("channels", VICTIM)}


def test_ct_without_negative_values_is_found_by_name_and_by_its_kind(tmp_path):
    for number in range(6):
        made = phantom(number, 16, 1)
        low = 0 if number == 2 else -1000
        nib.save(
            nib.Nifti1Image(np.float32(made.image[0] / made.image.max() * 2000 + low), made.affine),
            tmp_path / f"{number}.nii",
        )
    items = tuple(Case(str(n), str(n), (f"{n}.nii",)) for n in range(6))
    for channel in ("CT", "MR"):
        known = Manifest("m", "1", (channel,), {"x": 1}, items=items)
        assert accused(findings(tmp_path, known)) == {("units", "2")}


def sided(folder, n, swap):
    """Cases with a left and a right ball; `swap` has the two exchanged."""
    items = []
    for number in range(n):
        made = phantom(number, 24, 1)
        index = np.indices(made.label_map.shape)
        label = np.zeros(made.label_map.shape, np.uint8)
        names = (2, 1) if number in swap else (1, 2)
        for value, x in zip(names, (6, 17), strict=True):
            label[sum((index[a] - c) ** 2 for a, c in enumerate((x, 12, 12))) < 16] = value
        nib.save(nib.Nifti1Image(made.image[0], made.affine), folder / f"{number}.nii")
        nib.save(nib.Nifti1Image(label, made.affine), folder / f"{number}_seg.nii")
        items.append(Case(str(number), str(number), (f"{number}.nii",), f"{number}_seg.nii"))
    return tuple(items)


@pytest.mark.parametrize(
    ("labels", "rules"),
    [
        ({"left kidney": 1, "right kidney": 2}, {"sides"}),
        ({"kidney_L": 1, "kidney_R": 2}, {"sides"}),
        ({"spleen": 1, "liver": 2}, {"sides"}),
    ],
)
def test_left_and_right_exchanged_are_found_by_name_or_by_the_others(tmp_path, labels, rules):
    items = sided(tmp_path, 7, {4})
    found = [
        f for f in findings(tmp_path, Manifest("m", "1", ("MR",), labels, items=items)) if f.rule == "sides"
    ]
    assert [f.case for f in found] == ["4"]


def test_colour_among_grey_and_grey_among_colour_are_found(tmp_path):
    write_phantoms(tmp_path, 6, size=32, dimensions=2)
    known = read_manifest(tmp_path / "manifest.json")
    assert findings(tmp_path, known) == []
    picture = Picture.open(tmp_path / "images/phantom_002.png")
    picture.convert("L").save(tmp_path / "images/phantom_002.png")
    assert ("colour", "phantom_002") in accused(findings(tmp_path, known))
    picture.convert("L").convert("RGB").save(tmp_path / "images/phantom_002.png")
    assert accused(findings(tmp_path, known)) == {("colour", "phantom_002")}


def test_a_channel_of_another_shape_is_told_and_ends_no_check(data):
    change(file(data, "t2"), lambda a: a[:5])
    assert ("grid", VICTIM) in accused(findings(data))


def test_a_picture_among_volumes_is_told(data):
    known = read_manifest(data / "manifest.json")
    Picture.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(data / "p.png")
    Picture.fromarray(np.eye(16, dtype=np.uint8)).save(data / "p_mask.png")
    items = [replace(c, image=("p.png",), label="p_mask.png") if c.case == VICTIM else c for c in known.items]
    known = replace(known, items=tuple(replace(c, sha256={}) for c in items))
    assert ("dimensions", VICTIM) in accused(findings(data, known))


def test_a_mask_of_0_and_255_without_relabel_is_told_how_to_mend(tmp_path):
    write_phantoms(tmp_path, 3, size=32, dimensions=2)
    known = replace(read_manifest(tmp_path / "manifest.json"), relabel={})
    found = findings(tmp_path, known)
    assert {f.rule for f in found} >= {"label-values"}
    assert "relabel" in found[0].do


def test_the_whole_check_runs_in_children_and_its_json_meets_the_schema(data):
    file(data).write_bytes(b"")
    huge_claim = bytearray(gzip.decompress(file(data, "t2").read_bytes()))
    struct.pack_into("<4h", huge_claim, 40, 3, 30000, 30000, 30000)
    file(data, "t2").write_bytes(gzip.compress(bytes(huge_claim)))
    steps = []
    report = check(
        read_manifest(data / "manifest.json"), data, workers=2, progress=lambda *a: steps.append(a)
    )
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator(schema).validate(report.as_dict() | {"fixes": report.fixes()})
    assert steps[-1] == (9, 9)
    assert report.blocks
    assert {f.case for f in report.findings} == {VICTIM}
    assert any("unreadable (1)" in line for line in format_report(report))
    assert format_fixes(report)[0] == "# What to mend in synthetic_phantom"


def test_findings_come_worst_first(data):
    trailing(data)
    file(data, "t2").unlink()
    assert [f.severity for f in findings(data)] == ["blocks", "warning"]


def test_a_check_without_folder_or_cases_is_an_error(tmp_path):
    known = Manifest("m", "1", ("MR",), {"x": 1})
    with pytest.raises(ManifestError, match="no case"):
        check(known, tmp_path)
    with pytest.raises(ManifestError, match="no folder"):
        check(known.with_cases((Case("a", "a", ("a.nii",)),)), tmp_path / "no")


def test_every_path_of_a_report_is_inside_the_folder(data):
    file(data).unlink()
    assert [Path(f.file).is_absolute() for f in findings(data)] == [False]


@pytest.mark.data
def test_image_and_label_of_different_hippocampi_are_found():
    folder = Path(os.environ["MEDSEG_TEST_DATA"]) / "bad_inputs/hippocampus_mismatched"
    case = Case("118", "118", ("image_hippocampus_118.nii.gz",), "label_hippocampus_010.nii.gz")
    known = Manifest("m", "1", ("MR",), {"Anterior": 1, "Posterior": 2}, items=(case,))
    assert {f.rule for f in findings(folder, known)} == {"grid"}


@pytest.mark.data
def test_the_check_of_every_odd_file_ends_and_names_each_unreadable_one():
    folder = Path(os.environ["MEDSEG_TEST_DATA"]) / "bad_inputs"
    files = [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*")) if p.is_file()]
    items = tuple(Case(f, f, (f,)) for f in files)
    report = check(Manifest("odd", "1", ("x",), {"y": 1}, items=items), folder)
    blocked = {f.case for f in report.findings if f.severity == "blocks"}
    assert {f for f in files if f.endswith((".rst", "LICENSE", ".icc", ".tsv"))} <= blocked
    assert not any("Traceback" in f.found for f in report.findings)
    assert len(blocked) < len(files)
