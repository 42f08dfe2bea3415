import nibabel as nib
import numpy as np
import pytest

from medseg.data.folds import folds_of, one_fold, with_folds
from medseg.data.manifest import Case, Manifest
from medseg.errors import ManifestError


def manifest(items):
    return Manifest("toy", "1", ("MR",), {"a": 1, "rare": 2}, items=tuple(items))


@pytest.fixture
def data(tmp_path):
    """Twelve patients with two scans each; every third one has the rare structure, in one scan alone."""
    items = []
    for patient in range(12):
        for scan in range(2):
            label = np.zeros((4, 4, 4), np.uint8)
            label[0, 0, :2] = 1
            label[1, 1, 1] = 2 if patient % 3 == 0 and scan == 1 else 0
            name = f"case{patient}_{scan}"
            nib.save(nib.Nifti1Image(label, np.eye(4)), tmp_path / f"{name}.nii.gz")
            split = "test" if patient == 11 else "validation" if patient < 3 else "training"
            path = f"{name}.nii.gz"
            items.append(Case(name, str(patient), (path,), path, split=split))
    return tmp_path, manifest(items)


def test_folds_hold_out_every_case_but_the_test_split_once(data):
    folder, known = data
    dealt = with_folds(known, folder, 3)
    held = [c.case for fold in folds_of(dealt) for c in dealt.cases("training", fold, held_out=True)]
    assert sorted(held) == sorted(c.case for c in known.items if c.split != "test")
    assert {c.case for c in dealt.cases("test")} == {"case11_0", "case11_1"}


def test_the_files_of_the_test_split_need_not_be_there(data):
    folder, known = data
    for c in known.cases("test"):
        (folder / c.label).unlink()
    assert with_folds(known, folder, 3).cases("test") == known.cases("test")


def test_a_patient_is_in_one_fold_alone(data):
    folder, known = data
    dealt = with_folds(known, folder, 4)
    for patient in {c.patient for c in dealt.cases("training")}:
        assert len({c.fold for c in dealt.items if c.patient == patient}) == 1


def test_a_rare_structure_is_spread_over_the_folds(data):
    folder, known = data
    dealt = with_folds(known, folder, 4)
    rare = [c.fold for c in dealt.items if int(c.patient) % 3 == 0 and c.case.endswith("_1")]
    assert sorted(rare) == [0, 1, 2, 3]


def test_the_same_seed_deals_the_same_and_another_deals_anew(data):
    folder, known = data
    first, again, other = (with_folds(known, folder, 3, seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_the_held_out_fold_is_the_validation_of_its_training(data):
    folder, known = data
    dealt = with_folds(known, folder, 3)
    run = one_fold(dealt, 1)
    held = {c.case for c in run.cases("validation")}
    assert held == {c.case for c in dealt.items if c.fold == 1}
    assert not held & {c.case for c in run.cases("training")}
    assert {c.patient for c in run.cases("validation")}.isdisjoint(c.patient for c in run.cases("training"))


def test_folds_of_the_manifest_are_kept_unless_another_number_is_asked_for(data):
    folder, known = data
    dealt = with_folds(known, folder, 3, seed=5)
    assert with_folds(dealt, folder) == with_folds(dealt, folder, 3) == dealt
    assert folds_of(with_folds(dealt, folder, 2)) == [0, 1]


def test_a_patient_in_two_folds_of_the_manifest_is_refused(tmp_path):
    items = [Case(f"c{n}", "p", (f"{n}.nii",), f"{n}.nii", fold=n) for n in range(2)]
    with pytest.raises(ManifestError, match="patient p of toy is in more than one fold"):
        with_folds(manifest(items), tmp_path)


def test_a_case_without_fold_beside_others_is_refused(tmp_path):
    items = [
        Case(f"c{n}", str(n), (f"{n}.nii",), f"{n}.nii", fold=fold) for n, fold in enumerate([0, 1, None])
    ]
    with pytest.raises(ManifestError, match="case c2 of toy has no fold"):
        with_folds(manifest(items), tmp_path)


def test_one_fold_is_none(data):
    folder, known = data
    with pytest.raises(ManifestError, match="two at least"):
        with_folds(known, folder, 1)


def test_a_fold_that_is_not_there_is_told(data):
    folder, known = data
    with pytest.raises(ManifestError, match="no fold 7"):
        one_fold(with_folds(known, folder, 3), 7)
