from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.errors import DataError, GeometryError, LabelError, OutputError
from medseg.writers import LabelMapFile, label_header, output_paths, read_header, write_label_map
from tests.toy_bundle import RAS_WORLD, write_scan

GEOMETRY = ["qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "qoffset_x"]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_scan(tmp_path / "scan.nii.gz", (7, 5, 4))


def random_labels(shape: tuple[int, ...], top: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, top, shape)


@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz"])
def test_labels_come_back_as_written_and_as_uint8(scan: Path, tmp_path: Path, name: str) -> None:
    labels = random_labels((7, 5, 4))
    written = nib.load(write_label_map(tmp_path / name, labels, like=scan))
    assert written.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(written.dataobj), labels)


@pytest.mark.parametrize(("qform_code", "sform_code"), [(0, 0), (1, 2), (1, 0), (0, 4), (3, 3)])
def test_geometry_is_copied_bit_for_bit(tmp_path: Path, qform_code: int, sform_code: int) -> None:
    image = nib.Nifti1Image(np.zeros((7, 5, 4), np.int16), RAS_WORLD)
    image.header["qform_code"], image.header["sform_code"] = qform_code, sform_code
    image.to_filename(tmp_path / "scan.nii.gz")
    source = nib.load(tmp_path / "scan.nii.gz")
    path = write_label_map(tmp_path / "out.nii.gz", random_labels((7, 5, 4)), like=tmp_path / "scan.nii.gz")
    written = nib.load(path)
    assert written.shape == source.shape
    np.testing.assert_array_equal(written.affine, source.affine)
    assert [written.header[f].tolist() for f in GEOMETRY] == [source.header[f].tolist() for f in GEOMETRY]
    np.testing.assert_array_equal(written.header["pixdim"][:4], source.header["pixdim"][:4])


def test_a_scan_of_nifti_2_gives_a_label_map_of_nifti_2(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(np.zeros((3, 4, 5), np.float32), RAS_WORLD), tmp_path / "scan.nii")
    path = write_label_map(tmp_path / "out.nii", random_labels((3, 4, 5)), like=tmp_path / "scan.nii")
    written = nib.load(path)
    assert isinstance(written, nib.Nifti2Image)
    np.testing.assert_array_equal(written.affine, RAS_WORLD)


def test_a_big_endian_scan_keeps_its_affine(tmp_path: Path) -> None:
    header = nib.Nifti1Header(endianness=">")
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), ">i2"), RAS_WORLD, header), tmp_path / "scan.nii")
    path = write_label_map(tmp_path / "out.nii", random_labels((3, 4, 5)), like=tmp_path / "scan.nii")
    np.testing.assert_array_equal(nib.load(path).affine, nib.load(tmp_path / "scan.nii").affine)


def test_a_scan_of_two_dimensions_gives_a_label_map_of_two(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((6, 4), np.int16), np.eye(4)), tmp_path / "scan.nii")
    labels = random_labels((6, 4))
    written = nib.load(write_label_map(tmp_path / "out.nii", labels, like=tmp_path / "scan.nii"))
    np.testing.assert_array_equal(np.asarray(written.dataobj), labels)


def test_numbers_above_255_are_uint16(scan: Path, tmp_path: Path) -> None:
    labels = random_labels((7, 5, 4)) + 300
    written = nib.load(write_label_map(tmp_path / "out.nii.gz", labels, like=scan))
    assert written.get_data_dtype() == np.uint16
    np.testing.assert_array_equal(np.asarray(written.dataobj), labels)


@pytest.mark.parametrize("number", [-1, 65536])
def test_numbers_that_no_label_map_holds_are_refused(scan: Path, tmp_path: Path, number: int) -> None:
    with pytest.raises(LabelError, match=str(number)):
        write_label_map(tmp_path / "out.nii.gz", np.full((7, 5, 4), number), like=scan)


def test_labels_on_another_grid_are_refused(scan: Path, tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match=r"\(7, 5, 4\)"):
        write_label_map(tmp_path / "out.nii.gz", np.zeros((5, 7, 4), np.uint8), like=scan)


def test_a_file_that_exists_is_kept_unless_told(scan: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.nii.gz"
    path.write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        write_label_map(path, random_labels((7, 5, 4)), like=scan)
    assert path.read_text() == "mine"
    write_label_map(path, random_labels((7, 5, 4)), like=scan, overwrite=True)
    assert nib.load(path).shape == (7, 5, 4)


def test_nothing_is_left_of_a_write_that_breaks_off(scan: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelError):
        write_label_map(tmp_path / "out" / "x.nii.gz", np.full((7, 5, 4), -3), like=scan)
    with pytest.raises(OutputError):
        write_label_map(scan / "x.nii.gz", random_labels((7, 5, 4)), like=scan)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii.gz"]


def test_slices_one_by_one_give_the_same_bytes(scan: Path, tmp_path: Path) -> None:
    labels = random_labels((7, 5, 4)).astype(np.uint8)
    whole = write_label_map(tmp_path / "out.nii", labels, like=scan)
    with LabelMapFile(
        tmp_path / "x.nii", label_header(read_header(scan), np.uint8), compressed=False
    ) as file:
        file.write(labels[..., :1])
        file.write(labels[..., 1:])
    assert (tmp_path / "x.nii").read_bytes() == whole.read_bytes()


def test_a_missing_slice_is_noticed(scan: Path, tmp_path: Path) -> None:
    header = label_header(read_header(scan), np.uint8)
    file = LabelMapFile(tmp_path / "x.nii", header, compressed=False)
    with pytest.raises(ValueError, match="never written"), file:
        file.write(np.zeros((7, 5, 3), np.uint8))


def test_what_is_not_nifti_is_told(tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").write_text("no scan")
    with pytest.raises(DataError, match="readable NIfTI"):
        read_header(tmp_path / "scan.nii.gz")


names = st.lists(
    st.sampled_from(
        ["a/x.nii", "a/x.nii.gz", "a/x.hdr", "b/x.nii.gz", "b/X.nii.gz", "a/b/x.nii.gz", "x.hdr", "x.nii.gz"]
    ),
    unique=True,
    min_size=1,
)


@settings(max_examples=60, deadline=None)
@given(names)
def test_no_two_scans_share_a_name(scans: list[str]) -> None:
    paths = output_paths([Path("/data") / scan for scan in scans], Path("/out"))
    assert len({str(path).lower() for path in paths}) == len(scans)
    assert all(path.name.endswith((".nii", ".nii.gz")) for path in paths)


def test_a_name_that_is_not_shared_stays_as_it_is() -> None:
    scans = [Path("/d/a/x.nii.gz"), Path("/d/b/x.nii.gz"), Path("/d/b/y.nii")]
    assert output_paths(scans, Path("/o")) == [Path("/o/a/x.nii.gz"), Path("/o/b/x.nii.gz"), Path("/o/y.nii")]
