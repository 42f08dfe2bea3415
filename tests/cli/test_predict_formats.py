"""`medseg predict` on files as hospitals have them, each judged by a reader that is not ours."""

from __future__ import annotations

import bz2
import csv
import gzip
import itertools
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK
import torch
from PIL import Image, ImageDraw

from medseg.cli.app import main
from medseg.data.series import examine_series
from medseg.writers.lock import hold
from tests.dicom_files import ct
from tests.toy_bundle import RAS_WORLD, config, write_bundle, write_scan

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def predict(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main(["predict", *map(str, arguments)])
    return int(end.value.code or 0)


def labels_of(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Orientation and a convolution: labels of a turned scan are the turned labels, to the voxel."""
    content = config()
    del content["preprocessing"]["transforms"][3]
    return write_bundle(tmp_path_factory.mktemp("bundles") / "toy", content)


@pytest.fixture(scope="module")
def skin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of colour pictures."""
    content = config(channels=3)
    content["network_def"] |= {"_target_": "torch.nn.Conv2d", "kernel_size": 3}
    # Larger than the pictures, so that one convolution of the whole is the truth.
    content["inferer"]["roi_size"] = [32, 32]
    content["preprocessing"]["transforms"] = [
        {"_target_": "monai.transforms.LoadImaged", "keys": "image", "reader": "PILReader"},
        {"_target_": "monai.transforms.EnsureChannelFirstd", "keys": "image"},
        {"_target_": "monai.transforms.ScaleIntensityd", "keys": "image"},
    ]
    root = tmp_path_factory.mktemp("bundles") / "skin"
    write_bundle(root, content)
    torch.manual_seed(3)
    torch.save(torch.nn.Conv2d(3, 3, 3, padding=1).state_dict(), root / "models" / "model.pt")
    return root


def test_a_scan_in_48_orientations_gives_one_label_map_in_space(bundle: Path, tmp_path: Path) -> None:
    scan = nib.load(write_scan(tmp_path / "scan.nii", (9, 8, 7)))
    (tmp_path / "scans").mkdir()
    turns = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))
    for number, (axes, signs) in enumerate(turns):
        turned = scan.as_reoriented(np.array([*zip(axes, signs, strict=True)]))
        nib.save(turned, tmp_path / "scans" / f"s{number:02}.nii")
    assert predict(bundle, "-i", tmp_path / "scans", "-o", tmp_path / "out") == 0
    found = sorted((tmp_path / "out").glob("*.nii"))
    first = nib.as_closest_canonical(nib.load(found[0]))
    assert len(found) == 48
    assert set(np.unique(first.dataobj)) == {0, 1, 2}
    for path in found:
        np.testing.assert_array_equal(
            nib.load(path).affine, nib.load(tmp_path / "scans" / path.name).affine, err_msg=path.name
        )
        written = nib.as_closest_canonical(nib.load(path))
        np.testing.assert_allclose(written.affine, first.affine, atol=1e-4)
        np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(first.dataobj))


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii.gz", ".hdr"])
def test_a_label_map_has_the_scans_format_and_exactly_its_grid(
    bundle: Path, tmp_path: Path, ending: str
) -> None:
    truth = nib.load(write_scan(tmp_path / "truth" / "scan.nii", (9, 8, 7)))
    image = SimpleITK.ReadImage(str(tmp_path / "truth" / "scan.nii"))
    (tmp_path / "scans").mkdir()
    scan = tmp_path / "scans" / f"scan{ending}"
    if ending == ".hdr":
        nib.save(nib.Nifti1Pair(np.asarray(truth.dataobj), truth.affine, truth.header), scan)
    else:
        SimpleITK.WriteImage(image, str(scan))
    assert predict(bundle, "-i", tmp_path / "truth", "-o", tmp_path / "out") == 0
    assert predict(bundle, "-i", tmp_path / "scans", "-o", tmp_path / "out") == 0
    written = SimpleITK.ReadImage(
        str(tmp_path / "out" / ("scan.nii.gz" if ending == ".hdr" else f"scan{ending}"))
    )
    source = SimpleITK.ReadImage(str(scan))
    assert (written.GetOrigin(), written.GetSpacing(), written.GetDirection()) == (
        source.GetOrigin(),
        source.GetSpacing(),
        source.GetDirection(),
    )
    np.testing.assert_array_equal(
        SimpleITK.GetArrayFromImage(written).T, labels_of(tmp_path / "out" / "scan.nii")
    )


def test_nifti_under_another_ending_or_with_a_wrong_offset_is_done(bundle: Path, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan.nii", (9, 8, 7))
    content = bytearray(scan.read_bytes())
    (tmp_path / "named.nrrd").write_bytes(content)
    content[108:112] = np.float32(-10).tobytes()
    (tmp_path / "offset.nii").write_bytes(content)
    given = [a for name in ("scan.nii", "named.nrrd", "offset.nii") for a in ("-i", tmp_path / name)]
    assert predict(bundle, *given, "-o", tmp_path / "out") == 0
    whole = labels_of(tmp_path / "out" / "scan.nii")
    assert (labels_of(tmp_path / "out" / "offset.nii") == whole).all()
    named = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "out" / "named.nrrd")))
    assert (whole == named.T).all()


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif"])
def test_a_picture_gives_a_picture_of_label_numbers(skin: Path, tmp_path: Path, ending: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"mole{ending}")
    pixels = np.asarray(Image.open(tmp_path / f"mole{ending}"))
    assert predict(skin, "-i", tmp_path / f"mole{ending}", "-o", tmp_path / "out") == 0
    network = torch.nn.Conv2d(3, 3, 3, padding=1)
    network.load_state_dict(torch.load(skin / "models" / "model.pt"))
    scaled = (pixels.astype(np.float32) - pixels.min()) / float(pixels.max() - pixels.min())
    # MONAI's pictures are (column, row).
    scores = network(torch.from_numpy(scaled).permute(2, 1, 0)[None])[0]
    written = np.asarray(Image.open(tmp_path / "out" / ("mole.tif" if ending == ".tif" else "mole.png")))
    assert written.shape == (20, 30)
    assert (written != scores.argmax(0).numpy().T).mean() < 0.001


def test_a_palette_and_grey_and_alpha_are_made_to_fit_and_a_cut_picture_is_told(
    skin: Path, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    scans = tmp_path / "scans"
    scans.mkdir()
    few = Image.fromarray(pixels).quantize(8)
    few.save(scans / "palette.png")
    few.convert("RGB").save(scans / "palette_as_rgb.png")
    few.convert("RGBA").save(scans / "palette_with_alpha.png")
    Image.fromarray(pixels[..., 0]).save(scans / "grey.png")
    Image.fromarray(np.repeat(pixels[..., :1], 3, 2)).save(scans / "grey_as_rgb.png")
    (scans / "cut.png").write_bytes((scans / "palette_as_rgb.png").read_bytes()[:200])
    assert predict(skin, "-i", scans, "-o", tmp_path / "out") == 3
    (failure,) = json.loads((tmp_path / "out" / "failures.json").read_text())
    assert failure["case"] == "cut"
    found = {path.stem: np.asarray(Image.open(path)) for path in (tmp_path / "out").glob("*.png")}
    np.testing.assert_array_equal(found["palette"], found["palette_as_rgb"])
    np.testing.assert_array_equal(found["palette"], found["palette_with_alpha"])
    np.testing.assert_array_equal(found["grey"], found["grey_as_rgb"])


def test_a_picture_for_a_bundle_of_volumes_is_told(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "mole.png")
    assert predict(bundle, "-i", tmp_path / "mole.png", "-o", tmp_path / "out") == 3
    assert "mole: a picture; expected a volume" in capsys.readouterr().err


def noise(n: int = 5, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1000, (n, 10, 12))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.filterwarnings("ignore:The number of bytes of compressed pixel data")
def test_a_study_becomes_a_segmentation_object_with_the_voxels_of_the_label_map(
    bundle: Path, tmp_path: Path, reverse: bool
) -> None:
    series = ct(tmp_path / "study" / "DOE_JANE" / "s1", turn=RAS_WORLD_TURN, reverse=reverse, pixels=noise())
    assert predict(bundle, "-i", tmp_path / "study", "-o", tmp_path / "out", "--rtstruct") == 0
    (label_map,) = (tmp_path / "out").rglob("*.nii.gz")
    labels, affine = labels_of(label_map), nib.load(label_map).affine
    (path,) = [p for p in (tmp_path / "out").rglob("*.dcm") if "rtstruct" not in p.name]
    volume = hd.seg.segread(path).get_volume(combine_segments=True)
    for number in (1, 2):
        np.testing.assert_array_equal(
            places(volume.array == number, TO_RAS @ volume.affine), places(labels == number, affine)
        )
    (contours,) = (tmp_path / "out").rglob("*.rtstruct.dcm")
    np.testing.assert_array_equal(filled(pydicom.dcmread(contours), labels.shape, affine), labels)
    assert len(series) == labels.shape[2]


RAS_WORLD_TURN = np.asarray(RAS_WORLD)[:3, :3] / np.linalg.norm(np.asarray(RAS_WORLD)[:3, :3], axis=0)


def places(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Sorted places of a mask's voxels, RAS mm, to a tenth."""
    points = np.round(np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3], 1) + 0.0
    return points[np.lexsort(points.T)]


def filled(data: Any, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """The label map that an RTSTRUCT's contours enclose, by the even-odd rule at voxel centres."""
    out = np.zeros(shape, np.uint8)
    to_index = np.linalg.inv(affine) @ TO_RAS
    for roi in data.ROIContourSequence:
        inside = np.zeros(shape, bool)
        for contour in roi.get("ContourSequence", []):
            points = np.reshape(np.array(contour.ContourData, float), (-1, 3))
            index = points @ to_index[:3, :3].T + to_index[:3, 3]
            picture = Image.new("1", (shape[0] * 8, shape[1] * 8))
            ImageDraw.Draw(picture).polygon([tuple((p[:2] + 0.5) * 8) for p in index], fill=1)
            inside[:, :, round(index[0, 2])] ^= np.asarray(picture).T[4::8, 4::8]
        out[inside] = roi.ReferencedROINumber
    return out


def test_a_zip_of_a_study_gives_what_its_folder_gives_and_no_patients_name(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study"
    ct(study / "DOE_JANE" / "4711", pixels=noise())
    (study / "DOE_JANE" / "report.txt").write_text("Jane Doe")
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for path in sorted(study.rglob("*.*")):
            archive.write(path, path.relative_to(study))
    for given in ("study", "study.zip"):
        assert predict(bundle, "-i", tmp_path / given, "-o", tmp_path / f"out_{given}", "--preview") == 0
    folder, packed = (
        {p.name: p for p in (tmp_path / f"out_{g}").rglob("*.*")} for g in ("study", "study.zip")
    )
    assert sorted(folder) == sorted(packed)
    for name in folder:
        assert folder[name].read_bytes() == packed[name].read_bytes(), name
    told = capsys.readouterr()
    written = [str(p.relative_to(tmp_path)) for p in (tmp_path / "out_study").rglob("*")]
    written += [p.read_text() for p in folder.values() if p.suffix == ".csv"]
    everything = "\n".join([told.out, told.err, *written]).lower()
    assert not [word for word in ("doe", "jane", "4711", "19700101") if word in everything]


def test_a_series_that_lacks_a_slice_is_refused_without_its_patients_name_and_done_where_allowed(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ct(tmp_path / "DOE_JANE", pixels=noise())[2].unlink()
    assert predict(bundle, "-i", tmp_path / "DOE_JANE", "-o", tmp_path / "out") == 3
    told = capsys.readouterr()
    (failure,) = json.loads((tmp_path / "out" / "failures.json").read_text())
    assert "1 slices are missing" in failure["reason"]
    assert "--allow dicom-slices" in failure["reason"]
    everything = f"{told.out}{told.err}{failure}".lower()
    assert "jane" not in everything.replace(str(tmp_path).lower(), "")
    allowed = ("--allow", "dicom-slices")
    assert predict(bundle, "-i", tmp_path / "DOE_JANE", "-o", tmp_path / "out", *allowed) == 0
    (label_map,) = (tmp_path / "out").rglob("*.nii.gz")
    assert labels_of(label_map).shape == (12, 10, 4)


def test_two_rescales_in_one_series_are_refused(bundle: Path, tmp_path: Path) -> None:
    series = ct(tmp_path / "series", pixels=noise())
    data = pydicom.dcmread(series[1])
    data.RescaleIntercept = 0
    data.save_as(series[1])
    assert predict(bundle, "-i", tmp_path / "series", "-o", tmp_path / "out") == 3
    (failure,) = json.loads((tmp_path / "out" / "failures.json").read_text())
    assert "2 different rescale slopes" in failure["reason"]


def test_channels_are_joined_by_name_and_a_case_that_lacks_one_does_not_stop_the_others(
    tmp_path: Path,
) -> None:
    two = write_bundle(tmp_path / "two", config(channels=2))
    for case, channel in (("a", "t1"), ("a", "t2"), ("b", "t1"), ("b", "t2"), ("c", "t1")):
        write_scan(tmp_path / "scans" / f"{case}_{channel}.nii.gz", (9, 8, 7), seed=ord(case))
    given = ("--channel", "*_t1.nii.gz", "--channel", "*_t2.nii.gz")
    assert predict(two, "-i", tmp_path / "scans", "-o", tmp_path / "out", *given) == 3
    assert sorted(p.name for p in (tmp_path / "out").glob("*.nii.gz")) == ["a.nii.gz", "b.nii.gz"]
    (failure,) = json.loads((tmp_path / "out" / "failures.json").read_text())
    assert failure["case"] == "c"
    with (tmp_path / "list.csv").open("w") as file:
        csv.writer(file).writerows(
            [("case", "image_t1", "image_t2"), ("first", "scans/a_t1.nii.gz", "scans/a_t2.nii.gz")]
        )
    assert predict(two, "-i", tmp_path / "list.csv", "-o", tmp_path / "listed") == 0
    np.testing.assert_array_equal(
        labels_of(tmp_path / "listed" / "first.nii.gz"), labels_of(tmp_path / "out" / "a.nii.gz")
    )


def test_a_list_that_names_its_channels_is_brought_to_the_bundles_order(tmp_path: Path) -> None:
    two = write_bundle(tmp_path / "two", config(channels=2))
    stated = {"inputs": {"image": {"channel_def": {"0": "FLAIR", "1": "T1ce"}}}}
    (two / "configs" / "metadata.json").write_text(json.dumps({"network_data_format": stated}))
    for channel in ("flair", "t1ce"):
        write_scan(tmp_path / "scans" / f"a_{channel}.nii.gz", (9, 8, 7), seed=len(channel))
    assert predict(two, "-i", tmp_path / "scans", "-o", tmp_path / "named") == 0
    case = {"case": "a", "image": ["a_t1ce.nii.gz", "a_flair.nii.gz"]}
    listed = {"name": "m", "version": "1", "channels": ["T1Gd", "FLAIR"], "labels": {}, "training": [case]}
    (tmp_path / "scans" / "m.json").write_text(json.dumps(listed))
    (tmp_path / "scans" / "m.csv").write_text("case,image_t1ce,image_flair\na,a_t1ce.nii.gz,a_flair.nii.gz\n")
    truth = labels_of(tmp_path / "named" / "a.nii.gz")
    for list_ in ("m.json", "m.csv"):
        assert predict(two, "-i", tmp_path / "scans" / list_, "-o", tmp_path / list_) == 0
        np.testing.assert_array_equal(labels_of(tmp_path / list_ / "a.nii.gz"), truth)


def sequence(folder: Path, number: int, description: str) -> Path:
    """A series of the one study, with pixels and a name of its own."""
    for path in ct(folder, pixels=noise(seed=number)):
        data = pydicom.dcmread(path)
        data.SeriesInstanceUID += f".{number}"
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"{data.SOPInstanceUID}.{number}"
        data.SeriesDescription = description
        data.save_as(path)
    return folder


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A bundle of FLAIR and T1ce beside a study that holds them, a plain T1 and a localizer."""
    two = write_bundle(tmp_path / "two", config(channels=2))
    stated = {"inputs": {"image": {"channel_def": {"0": "FLAIR", "1": "T1ce"}, "num_channels": 2}}}
    (two / "configs" / "metadata.json").write_text(json.dumps({"network_data_format": stated}))
    sequences = ("3-plane loc", "Ax T1 SE", "AX T1 +C", "Ax T2 FLAIR FS")
    for number, description in enumerate(sequences, 1):
        sequence(tmp_path / "DOE_JANE" / f"{number}", number, description)
    return tmp_path


def test_series_are_channels_by_a_list_of_folders_and_by_their_descriptions(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, number in (("flair", 4), ("t1ce", 3)):
        image, _ = examine_series(sorted((study / "DOE_JANE" / f"{number}").iterdir()))
        (study / "nifti").mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(image.array, image.affine), study / "nifti" / f"a_{name}.nii.gz")
    assert predict(study / "two", "-i", study / "nifti", "-o", study / "truth") == 0
    truth = labels_of(study / "truth" / "a.nii.gz")
    assert len(np.unique(truth)) > 1
    case = {"case": "a", "image": ["DOE_JANE/3", "DOE_JANE/4"]}
    listed = {"name": "m", "version": "1", "channels": ["T1ce", "FLAIR"], "labels": {}, "training": [case]}
    (study / "m.json").write_text(json.dumps(listed))
    (study / "m.csv").write_text("case,image_flair,image_t1ce\na,DOE_JANE/4,DOE_JANE/3\n")
    for given, out in (("m.json", "json"), ("m.csv", "csv"), ("DOE_JANE", "folder")):
        assert predict(study / "two", "-i", study / given, "-o", study / out) == 0
        (path,) = (study / out).glob("*.nii.gz")
        np.testing.assert_array_equal(labels_of(path), truth)
        seg = pydicom.dcmread(next((study / out).glob("*.dcm")))
        assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID.endswith(".4")
        assert "doe" not in path.name.lower()
    assert json.loads((study / "folder" / "left_out.json").read_text())[0]["reason"] == "no channel told"
    assert "doe" not in capsys.readouterr().out.lower()


def test_what_is_left_out_of_a_folder_or_pattern_is_told_once_and_listed_without_names(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sequence(tmp_path / "DOE_JANE" / "1", 1, "abdomen")
    for number, key, value in ((2, "ImageType", ["ORIGINAL", "LOCALIZER"]), (3, "Modality", "SR")):
        for path in sequence(tmp_path / "DOE_JANE" / f"{number}", number, "scout").iterdir():
            data = pydicom.dcmread(path)
            setattr(data, key, value)
            data.save_as(path)
    for given, out in (("DOE_JANE", "folder"), ("DOE_JANE/**/*.dcm", "pattern")):
        assert predict(bundle, "-i", tmp_path / given, "-o", tmp_path / out) == 0
        told = capsys.readouterr()
        assert told.err == "medseg: 2 series left out: 1 SR, 1 localizer; see left_out.json\n"
        assert "1 done" in told.out
        listed = json.loads((tmp_path / out / "left_out.json").read_text())
        assert sorted((entry["reason"], entry["files"]) for entry in listed) == [("SR", 5), ("localizer", 5)]
        assert "jane" not in str(listed).lower()
    assert predict(bundle, "-i", tmp_path / "DOE_JANE" / "2", "-o", tmp_path / "none") == 2
    assert "but 1 localizer" in capsys.readouterr().err


def test_a_study_that_lacks_a_channel_is_told_by_what_it_has(study: Path) -> None:
    shutil.rmtree(study / "DOE_JANE" / "3")
    assert predict(study / "two", "-i", study / "DOE_JANE", "-o", study / "out") == 3
    (failure,) = json.loads((study / "out" / "failures.json").read_text())
    assert "0 series for T1ce" in failure["reason"]


def test_structures_of_a_series_come_with_one_object_for_all(bundle: Path, tmp_path: Path) -> None:
    ct(tmp_path / "series", pixels=noise())
    given = (bundle, "-i", tmp_path / "series", "-o", tmp_path / "out", "--per-structure")
    assert predict(*given) == 0
    (folder,) = (p for p in (tmp_path / "out").iterdir() if p.is_dir())
    masks = sorted(folder.glob("*.nii.gz"))
    volume = hd.seg.segread(tmp_path / "out" / f"{folder.name}.dcm").get_volume(combine_segments=True)
    assert len(masks) == 2
    for number, path in enumerate(masks, 1):
        assert (volume.array == number).sum() == labels_of(path).sum()
    written = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.*") if p.name != "volumes.csv"}
    assert predict(*given) == 0
    assert all(p.stat().st_mtime_ns == when for p, when in written.items())


def test_a_folder_that_another_run_writes_is_refused(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scan(tmp_path / "a.nii.gz", (9, 8, 7))
    with hold(tmp_path / "out"):
        assert predict(bundle, "-i", tmp_path / "a.nii.gz", "-o", tmp_path / "out") == 2
    assert "one run at a time" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_scan_with_too_many_channels_is_told(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nib.save(nib.Nifti1Image(np.ones((5, 5, 5, 4), np.float32), np.eye(4)), tmp_path / "four.nii")
    assert predict(bundle, "-i", tmp_path / "four.nii", "-o", tmp_path / "out") == 3
    assert "a volume with 4 channels; expected volumes with 1 channels" in capsys.readouterr().err


@pytest.mark.parametrize("limit", [(), ("--max-ram", "8G")])
def test_what_is_not_finite_is_refused(bundle: Path, tmp_path: Path, limit: tuple[str, ...]) -> None:
    array = np.ones((6, 6, 6), np.float32)
    array[1, 2, 3] = np.nan
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "nan.nii.gz")
    assert predict(bundle, "-i", tmp_path / "nan.nii.gz", "-o", tmp_path / "out", *limit) == 3
    (failure,) = json.loads((tmp_path / "out" / "failures.json").read_text())
    assert "1 voxels" in failure["reason"]


def test_structures_probabilities_and_volumes_agree_with_the_label_map(bundle: Path, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan.nii.gz", (9, 8, 7))
    assert predict(bundle, "-i", scan, "-o", tmp_path / "one", "--probabilities") == 0
    labels = labels_of(tmp_path / "one" / "scan.nii.gz")
    chances = labels_of(tmp_path / "one" / "scan.probabilities.nii.gz")
    np.testing.assert_allclose(chances.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(chances.argmax(-1), labels)
    named = shutil.copytree(bundle, tmp_path / "named")
    text = (named / "configs" / "inference.yaml").read_text()
    (named / "configs" / "inference.yaml").write_text(text + "labels: {background: 0, core: 1, rim: 2}\n")
    assert predict(named, "-i", scan, "-o", tmp_path / "each", "--per-structure") == 0
    for number, name in ((1, "core"), (2, "rim")):
        np.testing.assert_array_equal(
            labels_of(tmp_path / "each" / "scan" / f"{name}.nii.gz"), labels == number
        )
    with (tmp_path / "each" / "volumes.csv").open() as file:
        core, rim = csv.DictReader(file)
    voxel_mm3 = abs(np.linalg.det(nib.load(scan).affine[:3, :3]))
    assert float(core["ml"]) == pytest.approx((labels == 1).sum() * voxel_mm3 / 1000, rel=1e-5)
    assert (core["structure"], int(rim["voxels"])) == ("core", (labels == 2).sum())
    assert 1 / 3 < float(core["confidence"]) <= 1


@pytest.mark.parametrize("ends", ["softmax", "late softmax", "late sigmoid"])
def test_probabilities_of_the_engine_are_those_of_the_bundles_own_steps(tmp_path: Path, ends: str) -> None:
    content = config()
    steps = content["postprocessing"]["transforms"]
    if ends != "softmax":
        del steps[0]
    if ends == "late sigmoid":
        steps[1] = {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5}
    bundle = write_bundle(tmp_path / "ends", content)
    scan = write_scan(tmp_path / "scan.nii.gz", (9, 8, 7))
    for engine in ("stock", "stream"):
        assert (
            predict(bundle, "-i", scan, "-o", tmp_path / engine, "--engine", engine, "--probabilities") == 0
        )
    mine, theirs = (nib.load(tmp_path / e / "scan.probabilities.nii.gz") for e in ("stream", "stock"))
    np.testing.assert_allclose(mine.get_fdata(), theirs.get_fdata(), atol=1e-5)
    np.testing.assert_array_equal(mine.affine, theirs.affine)


@pytest.mark.parametrize("kind", ["ensemble", "bounded ensemble", "mirrored"])
def test_labels_are_the_highest_of_the_probabilities(tmp_path: Path, kind: str) -> None:
    content = config()
    if kind == "mirrored":
        window = {"roi_size": [16, 16, 16], "overlap": 0.5, "mode": "gaussian", "mirror_axes": [1]}
        content["inferer"] = {"_target_": "medseg.inference.LabelMapInferer", **window}
        content["postprocessing"]["transforms"] = content["postprocessing"]["transforms"][3:]
    bundles = [write_bundle(tmp_path / "one", content)]
    if kind != "mirrored":
        bundles.append(write_bundle(tmp_path / "other", content, seed=7))
    limit = ("--max-ram", "8G") if "bounded" in kind else ()
    scan = write_scan(tmp_path / "scan.nii.gz", (9, 8, 7))
    assert predict(*bundles, "-i", scan, "-o", tmp_path / "out", "--probabilities", *limit) == 0
    chances = labels_of(tmp_path / "out" / "scan.probabilities.nii.gz")
    np.testing.assert_allclose(chances.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(chances.argmax(-1), labels_of(tmp_path / "out" / "scan.nii.gz"))


def test_an_interrupted_run_goes_on_where_it_stopped(bundle: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_scan(tmp_path / "scans" / f"{name}.nii.gz", (9, 8, 7), seed=ord(name))
    assert predict(bundle, "-i", tmp_path / "scans" / "a.nii.gz", "-o", tmp_path / "out") == 0
    before = (tmp_path / "out" / "a.nii.gz").stat().st_mtime_ns
    (tmp_path / "out" / ".b.nii.gz.1.part").write_bytes(b"half a file")
    (tmp_path / "out" / ".scratch-left").mkdir()
    assert predict(bundle, "-i", tmp_path / "scans", "-o", tmp_path / "out") == 0
    assert (tmp_path / "out" / "a.nii.gz").stat().st_mtime_ns == before
    expected = ["a.nii.gz", "a.volumes.csv", "b.nii.gz", "b.volumes.csv", "volumes.csv"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == expected


ODD = {
    "a.nii.GZ": gzip.compress,
    "packed.nii": gzip.compress,
    "plain.nii.gz": bytes,
    "with space ü (1).nii.gz": gzip.compress,
    "bzip.nii.bz2": bz2.compress,
    "Upper.NII": bytes,
}


def test_labels_of_oddly_named_and_packed_nifti_keep_grid_and_codes(bundle: Path, tmp_path: Path) -> None:
    write_scan(tmp_path / "scan.nii")
    content = (tmp_path / "scan.nii").read_bytes()
    for name, pack in ODD.items():
        (tmp_path / name).write_bytes(pack(content))
    given = [text for name in ODD for text in ("-i", tmp_path / name)]
    assert predict(bundle, "-i", tmp_path / "scan.nii", *given, "-o", tmp_path / "out") == 0
    written = [f for f in (tmp_path / "out").iterdir() if f.suffix != ".csv"]
    first = nib.load(tmp_path / "out" / "scan.nii")
    assert len(written) == len(ODD) + 1
    for file in written:
        labels = nib.Nifti1Image.from_bytes(unpacked(file))
        np.testing.assert_array_equal(labels.dataobj, first.dataobj)
        np.testing.assert_allclose(labels.affine, first.affine, atol=1e-5)
        assert (int(labels.header["qform_code"]), int(labels.header["sform_code"])) == (1, 2)


def unpacked(file: Path) -> bytes:
    content = file.read_bytes()
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
