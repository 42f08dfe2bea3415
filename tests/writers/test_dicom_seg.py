from __future__ import annotations

import os
import subprocess
from pathlib import Path

import dcmqi
import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from medseg.data.series import examine_series, series_of
from medseg.labels import Structure
from medseg.writers.dicom_seg import write_dicom_seg
from tests.dicom_files import ct

LIVER = Structure("liver", frozenset([1]), code="SCT:10200004:Liver")
TUMOUR = Structure("tumour", frozenset([2]))
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def some_labels(shape: tuple[int, ...]) -> np.ndarray:
    """Two boxes in the middle slices, first and last slice empty, different along every axis."""
    labels = np.zeros(shape, np.uint8)
    labels[1 : shape[0] // 2, 2 : shape[1] - 3, 1:3] = 1
    labels[shape[0] // 2 : shape[0] - 3, 3:5, 2 : shape[2] - 1] = 2
    return labels


def millimetres(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Places of a mask's voxels, RAS mm."""
    return np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]


def assert_same_places(found: np.ndarray, truth: np.ndarray) -> None:
    """As many voxels, each within a fiftieth of a millimetre of one of the other's."""
    assert len(found) == len(truth) > 0
    assert cKDTree(truth).query(found)[0].max() < 0.02
    assert cKDTree(found).query(truth)[0].max() < 0.02


TURNS = {
    "axial": np.eye(3),
    "oblique": Rotation.from_euler("xyz", [10, -20, 30], degrees=True).as_matrix(),
    "sagittal": np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),
}


@pytest.fixture(params=[(turn, order) for turn in TURNS for order in ("forward", "reversed")], ids="-".join)
def series(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    turn, order = request.param
    return ct(tmp_path / "series", turn=TURNS[turn], reverse=order == "reversed")


# pydicom takes frames as small as these for uncompressed ones.
@pytest.mark.filterwarnings("ignore:The number of bytes of compressed pixel data")
@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_highdicom_reads_the_same_voxels_at_the_same_millimetres(
    series: list[Path], tmp_path: Path, kind: str
) -> None:
    image, _ = examine_series(series[::-1])
    labels = some_labels(image.shape)
    path = write_dicom_seg(
        tmp_path / "s.dcm", labels, image.affine, source=series, structures=[LIVER, TUMOUR], kind=kind
    )
    volume = hd.seg.segread(path).get_volume(combine_segments=True)
    assert volume.array.shape == (5, 10, 12)
    for number in (1, 2):
        found = millimetres(volume.array == number, TO_RAS @ volume.affine)
        assert_same_places(found, millimetres(labels == number, image.affine))


def test_dcmqi_reads_the_same_voxels_at_the_same_millimetres(series: list[Path], tmp_path: Path) -> None:
    image, _ = examine_series(series)
    labels = some_labels(image.shape)
    path = write_dicom_seg(
        tmp_path / "s.dcm", labels, image.affine, source=series, structures=[LIVER, TUMOUR]
    )
    for number, (mask, affine) in enumerate(dcmqi_masks(path, tmp_path / "dcmqi"), start=1):
        assert mask.shape[2] == 5
        assert_same_places(millimetres(mask, affine), millimetres(labels == number, image.affine))


def dcmqi_masks(path: Path, folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each segment as dcmqi reads it: mask, and affine to RAS mm."""
    folder.mkdir()
    tool = Path(dcmqi.__file__).parent / "bin" / "segimage2itkimage"
    command = [tool, "-t", "nrrd", "--outputDirectory", folder, "--inputDICOM", path]
    subprocess.run(command, check=True, capture_output=True)
    found = []
    for file in sorted(folder.glob("*.nrrd")):
        read = SimpleITK.ReadImage(str(file))
        affine = np.eye(4)
        affine[:3, :3] = np.array(read.GetDirection()).reshape(3, 3) * read.GetSpacing()
        affine[:3, 3] = read.GetOrigin()
        found.append((SimpleITK.GetArrayFromImage(read).T != 0, TO_RAS @ affine))
    return found


def test_structures_are_coded_tracked_and_refer_to_every_frame(tmp_path: Path) -> None:
    series = ct(tmp_path / "series", turn=np.eye(3), reverse=False)
    image, _ = examine_series(series)
    path = write_dicom_seg(
        tmp_path / "s.dcm", some_labels(image.shape), image.affine, source=series, structures=[LIVER, TUMOUR]
    )
    data = pydicom.dcmread(path)
    liver, tumour = data.SegmentSequence
    assert liver.SegmentedPropertyTypeCodeSequence[0].CodeValue == "10200004"
    assert tumour.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Neoplasm"
    assert liver.TrackingID == "liver"
    assert liver.TrackingUID != tumour.TrackingUID
    assert data.SegmentationType == "BINARY"
    assert data.NumberOfFrames == 10
    referenced = {
        item.ReferencedSOPInstanceUID for item in data.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert referenced == {pydicom.dcmread(file).SOPInstanceUID for file in series}


def test_equal_labels_are_equal_files(tmp_path: Path) -> None:
    series = ct(tmp_path / "series", turn=np.eye(3), reverse=False)
    image, _ = examine_series(series)
    first, second = (
        write_dicom_seg(
            tmp_path / name, some_labels(image.shape), image.affine, source=order, structures=[LIVER, TUMOUR]
        )
        for name, order in (("a.dcm", series), ("b.dcm", series[::-1]))
    )
    assert first.read_bytes() == second.read_bytes()


def test_labels_without_a_structure_keep_every_slice(tmp_path: Path) -> None:
    series = ct(tmp_path / "series", turn=np.eye(3), reverse=False)
    image, _ = examine_series(series)
    nothing = np.zeros(image.shape, np.uint8)
    path = write_dicom_seg(tmp_path / "s.dcm", nothing, image.affine, source=series, structures=[LIVER])
    assert hd.seg.segread(path).get_volume().array.shape[:3] == (5, 10, 12)


def rewritten(folder: Path, turn: np.ndarray, order: str) -> list[Path]:
    """The CT of a hospital, turned in space, its files named in their order, against it or by chance."""
    sets = [pydicom.dcmread(p) for p in (Path(os.environ["MEDSEG_TEST_DATA"]) / "dicom_ct/series").iterdir()]
    sets.sort(key=lambda data: float(data.ImagePositionPatient[2]), reverse=order == "reversed")
    names = np.arange(len(sets)) if order != "shuffled" else np.random.default_rng(0).permutation(len(sets))
    folder.mkdir()
    for number, data in zip(names, sets, strict=True):
        place = turn @ np.array(data.ImagePositionPatient, float)
        rows = np.reshape(np.array(data.ImageOrientationPatient, float), (2, 3)) @ turn.T
        data.ImagePositionPatient = [f"{v:.10f}"[:16] for v in place]
        data.ImageOrientationPatient = [f"{v:.12f}"[:16] for v in rows.ravel()]
        data.InstanceNumber = int(number) + 1
        data.save_as(folder / f"{number:03}.dcm")
    return sorted(folder.iterdir())


@pytest.mark.data
@pytest.mark.parametrize("turn", ["axial", "oblique"])
@pytest.mark.parametrize("order", ["forward", "reversed", "shuffled"])
def test_a_ct_of_a_hospital_makes_the_round_trip(tmp_path: Path, order: str, turn: str) -> None:
    files = rewritten(tmp_path / "series", TURNS[turn], order)
    (series,) = series_of(files)
    image, found = examine_series(series.files)
    assert not [f for f in found if f.severity == "blocks"]
    labels = np.zeros(image.shape, np.uint8)
    labels[100:140, 200:230, 3:9] = 1
    labels[300:310, 240:300, 7:15] = 2
    path = write_dicom_seg(
        tmp_path / "s.dcm", labels, image.affine, source=series.files, structures=[LIVER, TUMOUR]
    )
    volume = hd.seg.segread(path).get_volume(combine_segments=True)
    assert volume.array.shape == image.shape[::-1]
    by_dcmqi = dcmqi_masks(path, tmp_path / "dcmqi")
    for number in (1, 2):
        truth = millimetres(labels == number, image.affine)
        by_highdicom = millimetres(volume.array == number, TO_RAS @ volume.affine)
        assert_same_places(by_highdicom, truth)
        mask, affine = by_dcmqi[number - 1]
        assert mask.shape[2] == image.shape[2]
        assert_same_places(millimetres(mask, affine), truth)
