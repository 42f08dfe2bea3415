"""DICOM folders as a PACS gives them: a right volume, or a line that says what is wrong."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from medseg.data.reading import read_image
from medseg.errors import MedsegError
from medseg.inference.intake import gather
from medseg.inference.staging import stage
from tests.dicom_files import ct

VOXELS = [np.random.default_rng(z).integers(1, 900, (10, 12)).astype(np.int16) for z in range(5)]
SCOUT = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}


def changed(files: Sequence[Path], **values: object) -> None:
    for file in files:
        data = pydicom.dcmread(file)
        for name, value in values.items():
            if value is None:
                delattr(data, name)
            else:
                setattr(data, name, value)
        data.save_as(file)


def told(path: Path, scratch: Path, allow: Sequence[str] = ()) -> list[str]:
    """For each case its shape and spacing, or what is said."""
    said = []
    for case in gather([str(path)], scratch / "out"):
        (scratch / "staged").mkdir(exist_ok=True)
        try:
            if case.problem is not None:
                raise case.problem
            staged = stage(case, scratch / "staged", allow=allow)
            spacing = np.linalg.norm(staged.affine[:3, :3], axis=0)
            said.append(f"{staged.shape} {spacing.round(2).tolist()}")
        except MedsegError as error:
            said.append(str(error))
        shutil.rmtree(scratch / "staged")
    return said


GOOD = "(12, 10, 5) [0.5, 0.75, 2.0]"
FAULTS: dict[str, tuple[Callable[[list[Path]], object], str, str]] = {
    "a missing slice": (lambda f: f[2].unlink(), "dicom-slices", "1 slices are missing"),
    "a copy": (
        lambda f: shutil.copy(f[2], f[2].with_name("copy.dcm")),
        "dicom-slices",
        "the place of another",
    ),
    "unequal steps": (
        lambda f: changed(f[4:], ImagePositionPatient=[-10, 5, 40.5]),
        "dicom-slices",
        "unequal distances between slices",
    ),
    "a tilt": (
        lambda f: [
            changed(f[i : i + 1], ImagePositionPatient=[-10, 5 + 0.6 * i, 30 + 2 * i]) for i in range(5)
        ],
        "dicom-tilt",
        "16.70 degrees aslant",
    ),
    "a turned slice": (
        lambda f: changed(f[4:], ImageOrientationPatient=[1, 0, 0, 0, 0, -1]),
        "dicom-orientation",
        "2 orientations, sizes or spacings",
    ),
    "another rescale": (
        lambda f: changed(f[4:], RescaleIntercept=0),
        "dicom-rescale",
        "2 different rescale slopes and intercepts",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_series_is_refused_in_one_line_and_read_where_allowed(
    tmp_path: Path, fault: str
) -> None:
    spoil, rule, text = FAULTS[fault]
    spoil(ct(tmp_path / "in", pixels=VOXELS))
    (refusal,) = told(tmp_path / "in", tmp_path)
    assert text in refusal
    assert refusal.endswith(f"or --allow {rule}")
    assert "\n" not in refusal
    (read,) = told(tmp_path / "in", tmp_path, [rule])
    assert read.startswith("(12, 10, ")


@pytest.mark.parametrize("name", ["PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient"])
def test_a_stack_without_its_geometry_is_refused(tmp_path: Path, name: str) -> None:
    changed(ct(tmp_path / "in", pixels=VOXELS), **{name: None})
    (refusal,) = told(tmp_path / "in", tmp_path)
    assert "5 frames and no place or size in millimetres" in refusal


@pytest.mark.parametrize("name", ["0.dcm", "scout.dcm"])
def test_a_localizer_among_the_slices_is_left_out_wherever_it_lies(tmp_path: Path, name: str) -> None:
    files = ct(tmp_path / "in", pixels=VOXELS)
    shutil.copy(files[1], tmp_path / "in" / name)
    changed([tmp_path / "in" / name], SOPInstanceUID="1.2.9", **SCOUT)
    assert told(tmp_path / "in", tmp_path) == [GOOD]
    image = read_image(tmp_path / "in")
    assert image.shape == (12, 10, 5)
    assert [f.rule for f in image.findings] == ["dicom-localizer"]


def test_two_series_in_one_folder_are_two_cases(tmp_path: Path) -> None:
    ct(tmp_path / "in", pixels=VOXELS)
    changed(ct(tmp_path / "in" / "b", pixels=VOXELS), SeriesInstanceUID="1.2.3.4")
    assert told(tmp_path / "in", tmp_path) == [GOOD, GOOD]


def test_what_is_no_dicom_is_passed_over_and_an_empty_slice_is_told(tmp_path: Path) -> None:
    ct(tmp_path / "in", pixels=VOXELS)
    for name in ("README", "DICOMDIR", "viewer.exe", ".DS_Store", "autorun.inf"):
        (tmp_path / "in" / name).write_bytes(b"Doe^Jane")
    (tmp_path / "in" / "__MACOSX").mkdir()
    (tmp_path / "in" / "__MACOSX" / "._000.dcm").write_bytes(b"\0\5\x16\7")
    assert told(tmp_path / "in", tmp_path) == [GOOD]
    (tmp_path / "in" / "005.dcm").write_bytes(b"")
    assert sorted(line.split(";")[0] for line in told(tmp_path / "in", tmp_path)) == [
        GOOD,
        "005.dcm has no bytes",
    ]


@pytest.mark.parametrize(
    "syntax", [pydicom.uid.RLELossless, pydicom.uid.JPEGLSLossless, pydicom.uid.JPEG2000Lossless]
)
def test_compressed_slices_give_the_numbers_of_plain_ones(tmp_path: Path, syntax: str) -> None:
    large = [np.tile(plane, (4, 4)) for plane in VOXELS]
    files = ct(tmp_path / "in")
    for file, plane in zip(files, large, strict=True):
        data = pydicom.dcmread(file)
        data.Rows, data.Columns, data.PixelData = *plane.shape, plane.tobytes()
        data.compress(syntax, generate_instance_uid=False)
        data.save_as(file)
    voxels = read_image(tmp_path / "in").array
    np.testing.assert_array_equal(voxels, np.stack(large).T.astype(int) - 1024)


def test_frames_of_an_enhanced_object_lie_where_its_single_slices_lie(tmp_path: Path) -> None:
    files = ct(tmp_path / "single", pixels=VOXELS)
    for file in files:
        data = pydicom.dcmread(file)
        data.ImageType, data.AcquisitionNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], 1
        data.StudyID, data.PatientPosition, data.PositionReferenceIndicator = "1", "HFS", ""
        data.save_as(file)
    sets = [pydicom.dcmread(file) for file in files]
    uid = pydicom.uid.generate_uid
    enhanced = hd.legacy.LegacyConvertedEnhancedCTImage(sets, uid(), 1, uid(), 1)
    (tmp_path / "many").mkdir()
    enhanced.save_as(tmp_path / "many" / "a.dcm")
    one, many = read_image(tmp_path / "single"), read_image(tmp_path / "many")
    np.testing.assert_array_equal(one.array, many.array)
    np.testing.assert_allclose(one.affine, many.affine)


def test_signed_padding_is_kept_and_inverted_grey_is_told(tmp_path: Path) -> None:
    planes = [np.where(np.arange(12) < 3, -2000, plane).astype(np.int16) for plane in VOXELS]
    files = ct(tmp_path / "in", pixels=planes)
    for file in files:
        data = pydicom.dcmread(file)
        data.add_new("PixelPaddingValue", "SS", -2000)
        data.PhotometricInterpretation = "MONOCHROME1"
        data.save_as(file)
    image = read_image(tmp_path / "in")
    assert image.array.min() == -3024
    assert [f.rule for f in image.findings] == ["dicom-inverted"]


def test_a_palette_is_read_in_its_colours(tmp_path: Path) -> None:
    source = pydicom.data.get_testdata_file("examples_palette.dcm")
    image = read_image(str(source))
    expected = pydicom.pixels.apply_color_lut(pydicom.dcmread(source).pixel_array, pydicom.dcmread(source))
    assert image.is_rgb
    np.testing.assert_array_equal(image.array[:, :, 0], (expected >> 8).swapaxes(0, 1))


def packed(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def study(tmp_path: Path) -> dict[str, bytes]:
    return {f"study/{file.name}": file.read_bytes() for file in ct(tmp_path / "plain", pixels=VOXELS)}


def test_an_archive_with_a_macs_junk_gives_its_study(tmp_path: Path) -> None:
    junk = {"__MACOSX/study/._000.dcm": b"\0\5\x16\7", ".DS_Store": b"", "study/Thumbs.db": b"x"}
    assert told(packed(tmp_path / "a.zip", study(tmp_path) | junk), tmp_path) == [GOOD]


def test_a_folder_of_archives_gives_the_study_of_each(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    packed(tmp_path / "in" / "a.zip", study(tmp_path))
    packed(tmp_path / "in" / "papers.zip", {"readme.txt": b"no scan"})
    assert told(tmp_path / "in", tmp_path) == [GOOD]


def test_an_archive_in_an_archive_is_told(tmp_path: Path) -> None:
    inner = packed(tmp_path / "inner.zip", study(tmp_path)).read_bytes()
    (alone,) = told(packed(tmp_path / "a.zip", {"inner.zip": inner}), tmp_path)
    assert alone == "inner.zip lies in a.zip; expected scans in an archive; unpack a.zip"
    beside = told(packed(tmp_path / "b.zip", {"inner.zip": inner} | study(tmp_path / "b")), tmp_path)
    assert sorted(line[:9] for line in beside) == sorted([GOOD[:9], "inner.zip"])


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ({"../../evil.dcm": b"x"}, "leads outside"),
        ({"/etc/evil.dcm": b"x"}, "leads outside"),
        ({"a.dcm": b"\0" * (100 << 20)}, "takes it beyond 50 times its own size"),
        ({"readme.txt": b"x"}, "no scan in a.zip"),
    ],
)
def test_a_harmful_or_empty_archive_is_refused_and_leaves_nothing(
    tmp_path: Path, entries: dict[str, bytes], text: str
) -> None:
    (refusal,) = told(packed(tmp_path / "a.zip", entries), tmp_path)
    assert text in refusal
    assert "unpacked-" not in refusal
    assert not any(file.stat().st_size for file in (tmp_path / "out").rglob("*.dcm"))
