"""Every known layout is recognised without renaming a file, and says by which rule."""

import csv
import json
import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image as Picture
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from medseg.data import read_manifest, write_manifest
from medseg.data.checking import check
from medseg.data.child import HERE
from medseg.data.isolation import Reader
from medseg.data.scanning import scan
from medseg.data.splits import split
from medseg.data.synthesis import phantom, phantom_picture
from medseg.errors import ManifestError
from medseg.planning.fingerprint import fingerprint
from medseg.planning.page import write_fingerprint


class Local(type(HERE)):
    """Reads in this process, also where a request other than reading is made."""

    def request(self, what):
        from medseg.data.child import answer

        reply, payload = answer(what)
        return reply, bytearray(payload)


HERE_TOO = Local()


def volume(path, number=0, label=False, values=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    made = phantom(number, 8, 1)
    array = made.label_map if label else made.image[0]
    if label and values:
        array = np.array(values, np.uint8)[np.arange(array.size) % len(values)].reshape(array.shape)
    image = nib.Nifti1Image(array, made.affine)
    if path.suffix == ".mha":
        import SimpleITK

        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array.transpose(2, 1, 0)), str(path))
        return
    nib.save(image, path)


def picture(path, number=0, label=False, high=255):
    path.parent.mkdir(parents=True, exist_ok=True)
    colours, mask = phantom_picture(number, 16)
    Picture.fromarray(mask * np.uint8(high) if label else colours).save(path)


def msd(d):
    for n in (1, 2, 3):
        volume(d / f"imagesTr/organ_{n:03d}.nii.gz", n)
        volume(d / f"labelsTr/organ_{n:03d}.nii.gz", n, True, (0, 1, 2))
    volume(d / "imagesTs/organ_009.nii.gz", 9)


def msd_described(d):
    msd(d)
    entries = [
        {"image": f"./imagesTr/organ_{n:03d}.nii.gz", "label": f"./labelsTr/organ_{n:03d}.nii.gz"}
        for n in (1, 2, 3)
    ]
    told = {
        "name": "Organ",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "cortex", "2": "core"},
        "training": entries,
        "test": ["./imagesTs/organ_009.nii.gz"],
        "licence": "CC-BY-SA 4.0",
    }
    (d / "dataset.json").write_text(json.dumps(told))


def nnunet_bare(d):
    for n in (1, 2, 3):
        for c in (0, 1):
            volume(d / f"imagesTr/case_{n:04d}_{c:04d}.nii.gz", n)
        volume(d / f"labelsTr/case_{n:04d}.nii.gz", n, True, (0, 1))
    volume(d / "imagesTs/case_0009_0000.nii.gz")
    volume(d / "imagesTs/case_0009_0001.nii.gz")


def nnunet(d):
    nnunet_bare(d)
    told = {
        "channel_names": {"0": "T2", "1": "ADC"},
        "labels": {"background": 0, "whole": [1, 2], "core": [2]},
        "regions_class_order": [1, 2],
        "numTraining": 3,
        "file_ending": ".nii.gz",
    }
    (d / "dataset.json").write_text(json.dumps(told))


def bids(d):
    for n in ("01", "02"):
        for s in ("a", "b"):
            volume(d / f"sub-{n}/ses-{s}/anat/sub-{n}_ses-{s}_T1w.nii.gz")
            volume(
                d / f"derivatives/manual/sub-{n}/ses-{s}/anat/sub-{n}_ses-{s}_dseg.nii.gz", 0, True, (0, 1)
            )


def brats(d, year="2018"):
    names = {
        "2018": ("Brats18_X_{0}/Brats18_X_{0}_{1}.nii.gz", ("flair", "t1", "t1ce", "t2"), "seg"),
        "2021": ("BraTS2021_0000{0}/BraTS2021_0000{0}_{1}.nii.gz", ("flair", "t1", "t1ce", "t2"), "seg"),
        "2023": (
            "BraTS-GLI-0000{0}-000/BraTS-GLI-0000{0}-000-{1}.nii.gz",
            ("t2f", "t1n", "t1c", "t2w"),
            "seg",
        ),
    }
    pattern, channels, seg = names[year]
    for n in (1, 2, 3):
        for c in channels:
            volume(d / pattern.format(n, c), n)
        volume(d / pattern.format(n, seg), n, True, (0, 1, 2, 3 if year == "2023" else 4))


def brats_2013(d):
    for n in (1, 2):
        for c in ("MR_Flair", "MR_T1", "MR_T1c", "MR_T2"):
            volume(d / f"HG/000{n}/VSD.Brain.XX.O.{c}.{500 + n}/VSD.Brain.XX.O.{c}.{500 + n}.mha", n)
        volume(
            d / f"HG/000{n}/VSD.Brain_3more.XX.XX.OT.{600 + n}/VSD.Brain_3more.XX.XX.OT.{600 + n}.mha",
            n,
            True,
            (0, 1, 2, 3, 4),
        )


def isic(d):
    for n in range(3):
        picture(d / f"ISIC_000{n}.jpg", n)
        picture(d / f"ISIC_000{n}_segmentation.png", n, True)


def isic_folders(d):
    for n in range(3):
        picture(d / f"ISIC-2017_Training_Data/ISIC_000{n}.jpg", n)
        picture(d / f"ISIC-2017_Training_Part1_GroundTruth/ISIC_000{n}_segmentation.png", n, True)


def acdc(d):
    for n in (1, 2):
        for frame in ("01", "12"):
            volume(d / f"patient00{n}/patient00{n}_frame{frame}.nii.gz", n)
            volume(d / f"patient00{n}/patient00{n}_frame{frame}_gt.nii.gz", n, True, (0, 1, 2, 3))
        volume(d / f"patient00{n}/patient00{n}_4d.nii.gz", n)
        (d / f"patient00{n}/Info.cfg").write_text("ED: 1")


def equal_names(d):
    for n in (1, 2, 3):
        volume(d / f"images/{n}.nii.gz", n)
        volume(d / f"labels/{n}.nii.gz", n, True, (0, 1))


def suffixed_names(d):
    for part in ("train", "val", "test"):
        for n in (1, 2):
            picture(d / f"{part}/images/{part}{n}.png", n)
            picture(d / f"{part}/masks/{part}{n}_mask.png", n, True)


def folder_per_case(d):
    for n in ("anna", "bert", "cleo"):
        volume(d / n / "image.nii.gz")
        volume(d / n / "label.nii.gz", 0, True, (0, 1))


def prefixed(d):
    for n in (10, 11, 12):
        volume(d / f"scan-{n}.nii.gz", n)
        volume(d / f"segmentation-{n}.nii.gz", n, True, (0, 1, 2))


def numbered(d):
    for n in (1, 2, 3):
        volume(d / f"averaged/img000{n}.nii.gz", n)
        volume(d / f"averaged/label000{n}.nii.gz", n, True, (0, 1))


def kits(d):
    for n in (1, 2, 3):
        volume(d / f"case_0000{n}/imaging.nii.gz", n)
        volume(d / f"case_0000{n}/segmentation.nii.gz", n, True, (0, 1, 2))


def slicer(d):
    for n in (1, 2, 3):
        volume(d / f"p{n}/orig{n:03d}.nii.gz", n)
        volume(d / f"p{n}/liver-seg{n:03d}.nii.gz", n, True, (0, 1))


def table(d):
    for n in (1, 2, 3):
        volume(d / f"stuff/a{n}.nii.gz", n)
        volume(d / f"other/b{n * 7}.nii.gz", n, True, (0, 1))
    with (d / "list.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["subject", "image", "label", "split"])
        for n in (1, 2, 3):
            rows.writerow(
                [f"s{n % 2}", f"stuff/a{n}.nii.gz", f"other/b{n * 7}.nii.gz", "train" if n < 3 else "val"]
            )


LAYOUTS = [
    (msd, "MSD", 4, 3, 1, {"structure 1", "structure 2"}),
    (msd_described, "MSD", 4, 3, 1, {"cortex", "core"}),
    (nnunet_bare, "nnU-Net", 4, 3, 2, {"foreground"}),
    (nnunet, "nnU-Net", 4, 3, 2, {"core"}),
    (bids, "BIDS", 4, 4, 1, {"foreground"}),
    (brats, "BraTS", 3, 3, 4, {"necrosis", "oedema", "enhancing"}),
    (lambda d: brats(d, "2021"), "BraTS", 3, 3, 4, {"necrosis", "oedema", "enhancing"}),
    (lambda d: brats(d, "2023"), "BraTS", 3, 3, 4, {"necrosis", "oedema", "enhancing"}),
    (brats_2013, "BraTS", 2, 2, 4, {"necrosis", "oedema", "enhancing"}),
    (isic, "ISIC", 3, 3, 1, {"lesion"}),
    (isic_folders, "ISIC", 3, 3, 1, {"lesion"}),
    (acdc, "ACDC", 4, 4, 1, {"right ventricle", "myocardium", "left ventricle"}),
    (equal_names, "images and labels", 3, 3, 1, {"foreground"}),
    (suffixed_names, "images and labels", 6, 6, 1, {"foreground"}),
    (folder_per_case, "folder per case", 3, 3, 1, {"foreground"}),
    (prefixed, "images and labels", 3, 3, 1, {"structure 1", "structure 2"}),
    (numbered, "images and labels", 3, 3, 1, {"foreground"}),
    (kits, "folder per case", 3, 3, 1, {"structure 1", "structure 2"}),
    (slicer, "folder per case", 3, 3, 1, {"foreground"}),
    (table, "CSV", 3, 3, 1, {"foreground"}),
]


@pytest.mark.parametrize(("make", "name", "n_cases", "n_labelled", "n_files", "labels"), LAYOUTS)
def test_a_layout_is_recognised(tmp_path, make, name, n_cases, n_labelled, n_files, labels):
    make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    manifest, layout = scan(tmp_path, reader=HERE_TOO)
    assert layout.name == name
    assert (len(manifest.items), sum(c.label is not None for c in manifest.items)) == (n_cases, n_labelled)
    assert {len(c.image) for c in manifest.items} == {n_files}
    assert labels <= set(manifest.labels)
    assert len(manifest.channels) == (3 if manifest.channels[0] == "red" else n_files)
    assert all(
        (tmp_path / path).is_file() and len(sha256) == 64
        for c in manifest.items
        for _, path, sha256 in c.files()
    )
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("make", [make for make, *_ in LAYOUTS])
def test_image_and_label_of_a_case_belong_together(tmp_path, make):
    make(tmp_path)
    digits = str.maketrans("", "", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-./")
    manifest, layout = scan(tmp_path, reader=HERE_TOO)
    pairs = [
        (c.image[0], c.label) for c in manifest.items if c.label and layout.name in ("MSD", "ISIC", "ACDC")
    ]
    stems = [
        (i.split("/")[-1].split(".")[0].translate(digits), p.split("/")[-1].split(".")[0].translate(digits))
        for i, p in pairs
    ]
    assert all(a[:4] == b[:4] for a, b in stems)
    assert len({c.image for c in manifest.items}) == len(manifest.items)
    assert len({c.case for c in manifest.items}) == len(manifest.items)


def test_links_are_followed_and_a_circle_of_them_is_walked_once(tmp_path):
    equal_names(tmp_path / "real")
    for kind in ("images", "labels"):
        (tmp_path / "linked").mkdir(exist_ok=True)
        (tmp_path / "linked" / kind).symlink_to(tmp_path / "real" / kind)
    (tmp_path / "linked" / "again").symlink_to(tmp_path / "linked")
    found = [scan(tmp_path / folder, reader=HERE_TOO)[0].items for folder in ("real", "linked")]
    assert found[0] == found[1]
    assert len(found[0]) > 1


def test_splits_come_from_folders_and_tables(tmp_path):
    suffixed_names(tmp_path / "a")
    table(tmp_path / "b")
    msd(tmp_path / "c")
    splits = [[c.split for c in scan(tmp_path / x, reader=HERE_TOO)[0].items] for x in "abc"]
    assert sorted(splits[0]) == ["test"] * 2 + ["training"] * 2 + ["validation"] * 2
    assert splits[1] == ["training", "training", "validation"]
    assert sorted(splits[2]) == ["test"] + ["training"] * 3


def test_patients_come_from_names_and_tables(tmp_path):
    bids(tmp_path / "a")
    acdc(tmp_path / "b")
    table(tmp_path / "c")
    patients = [{c.patient for c in scan(tmp_path / x, reader=HERE_TOO)[0].items} for x in "abc"]
    assert patients == [{"sub-01", "sub-02"}, {"patient001", "patient002"}, {"s0", "s1"}]


def test_numbers_of_pictures_and_of_brats_are_suggested_anew(tmp_path):
    isic(tmp_path / "a")
    brats(tmp_path / "b")
    brats(tmp_path / "c", "2023")
    found = [scan(tmp_path / x, reader=HERE_TOO)[0] for x in "abc"]
    assert [m.relabel for m in found] == [{255: 1}, {4: 3}, {}]
    assert found[1].regions == {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
    assert found[1].channels == found[2].channels == ("FLAIR", "T1", "T1ce", "T2")
    assert found[2].items[0].image[0].endswith("t2f.nii.gz")


def test_a_folder_without_scans_is_an_error(tmp_path):
    with pytest.raises(ManifestError, match="none that makes a case"):
        scan(tmp_path, reader=HERE_TOO)
    with pytest.raises(ManifestError, match="no folder"):
        scan(tmp_path / "no", reader=HERE_TOO)


def slices(folder, n, series, description, skip=(), modality="CT", patient="p1"):
    """A synthetic DICOM series of n slices of 8 x 8."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in (k for k in range(n) if k not in skip):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID, meta.MediaStorageSOPInstanceUID = ExplicitVRLittleEndian, generate_uid()
        meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
        d = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        d.SOPClassUID, d.SOPInstanceUID = pydicom.uid.CTImageStorage, meta.MediaStorageSOPInstanceUID
        d.PatientID, d.StudyInstanceUID, d.SeriesInstanceUID = patient, f"1.2.{patient[1:]}", series
        d.Modality, d.SeriesDescription, d.InstanceNumber = modality, description, k + 1
        d.ImagePositionPatient, d.ImageOrientationPatient = [0, 0, 3 * k], [1, 0, 0, 0, 1, 0]
        d.PixelSpacing, d.SliceThickness, d.Rows, d.Columns = [2, 2], 3, 8, 8
        d.BitsAllocated = d.BitsStored = 16
        d.HighBit, d.PixelRepresentation, d.SamplesPerPixel = 15, 0, 1
        d.PhotometricInterpretation, d.RescaleSlope, d.RescaleIntercept = "MONOCHROME2", 1, -1024
        d.PixelData = (np.arange(64, dtype=np.uint16) * (k + 1)).tobytes()
        d.save_as(folder / f"{series}.{k}", enforce_file_format=True)


def test_dicom_series_are_grouped_and_shown_and_read_by_their_uid(tmp_path):
    from medseg.data.reading import examine

    slices(tmp_path / "mixed", 5, "1.2.3.4", "thin")
    slices(tmp_path / "mixed", 4, "1.2.3.5", "thick")
    slices(tmp_path / "own", 6, "1.2.3.6", "own")
    manifest, layout = scan(tmp_path, reader=HERE_TOO)
    assert layout.name == "DICOM"
    assert sorted(c.image[0] for c in manifest.items) == ["mixed#1.2.3.4", "mixed#1.2.3.5", "own"]
    assert any("CT thin: 5 files of 8 x 8" in note for note in layout.notes)
    (patient,) = {c.patient for c in manifest.items}
    assert patient.startswith("patient_")
    assert "p1" not in patient
    image, found = examine(tmp_path / "mixed#1.2.3.5", reader=HERE_TOO)
    assert (image.shape, image.modality, found) == ((8, 8, 4), "CT", ())
    assert image.array[1, 0, 1] == 2 - 1024


@pytest.mark.parametrize(("skip", "text"), [((2,), "1 slices are missing"), ((), "")])
def test_a_missing_slice_is_told_and_a_whole_series_is_not_accused(tmp_path, skip, text):
    from medseg.data.reading import examine

    slices(tmp_path, 6, "1.2.3.4", "x", skip)
    found = examine(tmp_path, reader=HERE_TOO)[1]
    assert [f.rule for f in found] == (["dicom-slices"] if skip else [])
    assert text in "".join(f.found for f in found)


def test_faulty_geometry_of_a_series_is_told(tmp_path):
    from medseg.data.reading import examine

    slices(tmp_path / "a", 5, "1.2.3.4", "x")
    for name in ("tilt", "mixed", "unequal", "double"):
        shutil.copytree(tmp_path / "a", tmp_path / name)
    for k in range(5):
        edit(tmp_path / f"tilt/1.2.3.4.{k}", ImagePositionPatient=[0, 0.5 * k, 3 * k], GantryDetectorTilt=9.5)
    edit(tmp_path / "mixed/1.2.3.4.1", ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    edit(tmp_path / "unequal/1.2.3.4.4", ImagePositionPatient=[0, 0, 13.1])
    edit(tmp_path / "double/1.2.3.4.4", ImagePositionPatient=[0, 0, 9])
    rules = {
        n: {f.rule for f in examine(tmp_path / n, reader=HERE_TOO)[1]}
        for n in ("tilt", "mixed", "unequal", "double")
    }
    assert "dicom-tilt" in rules["tilt"]
    assert "dicom-orientation" in rules["mixed"]
    assert rules["unequal"] == {"dicom-slices"}
    assert rules["double"] >= {"dicom-slices"}


def edit(path, **fields):
    data = pydicom.dcmread(path)
    for name, value in fields.items():
        setattr(data, name, value)
    data.save_as(path)


def test_a_label_map_beside_a_series_becomes_its_label(tmp_path):
    slices(tmp_path / "series", 5, "1.2.3.4", "x")
    volume(tmp_path / "series_label.nii.gz", 0, True, (0, 1))
    with Reader() as reader:
        manifest, _ = scan(tmp_path, reader=reader)
    assert [(c.image, c.label) for c in manifest.items] == [(("series",), "series_label.nii.gz")]


def found_in(folder):
    with Reader() as reader:
        manifest, layout = scan(folder, reader=reader, hashes=False)
    return {c.image[0]: c.label for c in manifest.items}, layout.notes


def test_a_label_map_goes_to_the_series_of_its_size_and_the_localizer_is_left_out(tmp_path):
    for n in (1, 2):
        slices(tmp_path / f"p{n}/scout", 2, f"1.2.9.{n}", "scout", patient=f"p{n}")
        slices(tmp_path / f"p{n}/axial", 8, f"1.2.8.{n}", "axial", patient=f"p{n}")
        volume(tmp_path / f"p{n}/mask.nii.gz", n, True, (0, 1))
    cases, notes = found_in(tmp_path)
    assert cases == {f"p{n}/axial": f"p{n}/mask.nii.gz" for n in (1, 2)}
    assert "2 series without a label map left out, first p1/scout" in notes


def test_label_maps_elsewhere_are_matched_by_patient_and_never_by_part_of_a_name(tmp_path):
    for n in (1, 10):
        slices(tmp_path / f"dicom/x{n}/1-2", 8, f"1.2.8.{n}", "axial", patient=f"p{n}")
    volume(tmp_path / "labels/label0010.nii.gz", 0, True, (0, 1))
    cases, notes = found_in(tmp_path)
    assert cases == {"dicom/x10/1-2": "labels/label0010.nii.gz"}
    assert "1 series without a label map left out, first dicom/x1/1-2" in notes


def test_dicom_beside_a_labelled_set_of_nifti_is_told_and_left_out(tmp_path):
    equal_names(tmp_path)
    slices(tmp_path / "dicom", 5, "1.2.3", "x")
    cases, notes = found_in(tmp_path)
    assert len(cases) == 3
    assert "1 DICOM series are there too and were left out" in notes


def dicom_studies(d):
    for n in (1, 2, 3):
        slices(d / f"p{n}/series", 8, f"1.2.8.{n}", "axial", patient=f"p{n}")
        volume(d / f"p{n}/mask.nii.gz", n, True, (0, 1))


@pytest.mark.parametrize("make", [*(make for make, *_ in LAYOUTS), dicom_studies])
def test_all_four_verbs_go_through_every_layout(tmp_path, make, monkeypatch):
    monkeypatch.setattr("medseg.data.checking.Reader", Local)
    make(tmp_path)
    manifest, _ = scan(tmp_path, reader=HERE_TOO)
    made = read_manifest(write_manifest(manifest, tmp_path.with_suffix(".json")))
    assert made == manifest
    report = check(made, tmp_path)
    pairing = {"missing", "unreadable", "label-values", "label-integral", "channels", "colour", "hash"}
    assert not pairing & {f.rule for f in report.findings}
    dealt = split(made, validation=0.34, n_folds=2, keep_test=False)
    assert {c.fold for c in dealt.items} == {0, 1}
    found = fingerprint(dealt, tmp_path)
    assert found.summary["n_cases"] == len(made.items)
    assert found.summary["n_labelled"] == sum(c.label is not None for c in made.items)
    assert len(write_fingerprint(found, tmp_path / "page")) == 2
