"""Reading gives what is in the file where it lies, or an error; never zeros, never a crash."""

import bz2
import gzip
import os
import struct
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from PIL import Image as Picture

from medseg.data.isolation import Reader
from medseg.data.reading import examine, read_image
from medseg.errors import DataError, GeometryError

AFFINE = nib.affines.from_matvec(np.diag([-1.5, 2.0, 0.5]) @ np.eye(3)[:, [1, 0, 2]], [10, -20, 30])


@pytest.fixture(scope="module")
def reader():
    with Reader(time_s=60) as shared:
        yield shared


def volume(dtype=np.int16, shape=(5, 6, 7)):
    rng = np.random.default_rng(0)
    return (rng.integers(0, 200, shape)).astype(dtype)


def nifti(array=None, affine=AFFINE, kind=nib.Nifti1Image, **header):
    made = kind(volume() if array is None else array, affine)
    made.set_qform(affine, 1, strip_shears=True)
    made.set_sform(affine, 1)
    content = made.to_bytes()
    # Writing an image mends its header, so the header is spoilt afterwards.
    size = kind.header_class.sizeof_hdr
    spoilt = kind.header_class(content[:size], check=False)
    for key, value in header.items():
        spoilt[key] = value
    return spoilt.binaryblock + content[size:]


def saved(path, content):
    path.write_bytes(content)
    return path


def rules(path, reader=None):
    return {f.rule for f in examine(path, reader=reader)[1]}


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nifti_is_read_as_nibabel_reads_it(tmp_path, dtype, ending):
    nib.save(nib.Nifti1Image(volume(dtype), AFFINE), tmp_path / f"a{ending}")
    image, expected = read_image(tmp_path / f"a{ending}"), nib.load(tmp_path / f"a{ending}")
    assert np.array_equal(image.array, np.asarray(expected.dataobj))
    assert image.array.dtype == dtype
    assert np.allclose(image.affine, expected.affine)
    assert np.allclose(image.spacing_mm, expected.header.get_zooms())
    assert image.codes == "".join(nib.aff2axcodes(expected.affine))
    assert (image.sform_code, image.findings) == (2, ())


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_both_versions_both_byte_orders_and_bzip2_are_read(tmp_path, kind):
    big = kind(volume(">f4"), AFFINE, kind.header_class(endianness=">"))
    for name, content in (("a.nii", big.to_bytes()), ("b.nii.bz2", bz2.compress(nifti(kind=kind)))):
        assert np.array_equal(read_image(saved(tmp_path / name, content)).array, volume())


def test_slope_and_intercept_are_applied(tmp_path):
    path = saved(tmp_path / "a.nii", nifti(scl_slope=2.0, scl_inter=-1000.0))
    assert np.array_equal(read_image(path).array, volume() * 2.0 - 1000)


def test_a_pair_of_files_is_read_from_either(tmp_path):
    nib.save(nib.Nifti1Pair(volume(), AFFINE), tmp_path / "a.img")
    assert np.array_equal(read_image(tmp_path / "a.img").array, volume())
    assert np.array_equal(read_image(tmp_path / "a.hdr").array, volume())
    (tmp_path / "a.img").unlink()
    with pytest.raises(DataError, match=r"a\.img is not beside"):
        read_image(tmp_path / "a.hdr")


def test_time_and_vectors_become_the_last_axis(tmp_path):
    assert read_image(saved(tmp_path / "a.nii", nifti(volume(shape=(3, 4, 5, 2))))).channels == 2
    five = read_image(saved(tmp_path / "b.nii", nifti(volume(shape=(3, 4, 5, 1, 3)))))
    assert (five.shape, five.channels) == ((3, 4, 5), 3)
    assert read_image(saved(tmp_path / "c.nii", nifti(volume(shape=(3, 4, 5, 1))))).array.shape == (3, 4, 5)


def test_the_wrong_name_does_not_matter_only_the_bytes_do(tmp_path):
    assert np.array_equal(read_image(saved(tmp_path / "a.nii", gzip.compress(nifti()))).array, volume())
    assert np.array_equal(read_image(saved(tmp_path / "b.nii.gz", nifti())).array, volume())


@pytest.mark.parametrize("keep", [0, 1, 100, 347, 352, 400, -1, -100])
@pytest.mark.parametrize("packed", [False, True])
def test_a_cut_file_is_an_error_at_every_length(tmp_path, keep, packed):
    content = gzip.compress(nifti()) if packed else nifti()
    name = "a.nii.gz" if packed else "a.nii"
    with pytest.raises(DataError):
        read_image(saved(tmp_path / name, content[: min(keep, len(content) - 1)]))


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_flipped_bit_in_a_compressed_stream_is_an_error(tmp_path, place):
    content = bytearray(gzip.compress(nifti()))
    content[int(len(content) * place)] ^= 4
    with pytest.raises(DataError):
        read_image(saved(tmp_path / "a.nii.gz", bytes(content)))


@pytest.mark.parametrize("at", [-8, -4])
def test_a_wrong_checksum_or_length_is_an_error(tmp_path, at):
    content = bytearray(gzip.compress(nifti()))
    content[at] ^= 1
    with pytest.raises(DataError, match="damaged"):
        read_image(saved(tmp_path / "a.nii.gz", bytes(content)))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_header_that_claims_too_much_is_an_error_without_memory(tmp_path, pack):
    content = bytearray(nifti())
    struct.pack_into("<4h", content, 40, 3, 30000, 30000, 30000)
    with pytest.raises(DataError, match="claims"):
        read_image(saved(tmp_path / "a.nii.gz", pack(bytes(content))))


def test_more_bytes_than_allowed_are_refused(tmp_path):
    with pytest.raises(DataError, match="at most 10"):
        read_image(saved(tmp_path / "a.nii", nifti()), max_bytes=10)


def test_bytes_after_the_image_are_read_over_and_told(tmp_path):
    path = saved(tmp_path / "a.nii", nifti() + b"garbage")
    assert np.array_equal(read_image(path).array, volume())
    assert rules(path) == {"trailing"}


@pytest.mark.parametrize("dim", [(0, 5, 6, 7), (8, 5, 6, 7), (3, -5, 6, 7), (3, 0, 6, 7)])
def test_impossible_dimensions_are_an_error(tmp_path, dim):
    content = bytearray(nifti())
    struct.pack_into("<4h", content, 40, *dim)
    with pytest.raises(DataError, match="dim"):
        read_image(saved(tmp_path / "a.nii", bytes(content)))


@pytest.mark.parametrize("code", [0, 1, 32, 999])
def test_a_datatype_without_numbers_is_an_error(tmp_path, code):
    content = bytearray(nifti())
    struct.pack_into("<h", content, 70, code)
    with pytest.raises(DataError):
        read_image(saved(tmp_path / "a.nii", bytes(content)))


@pytest.mark.parametrize("row", [[np.nan] * 4, [0] * 4, [0, 0, 1, 5]])
def test_an_affine_that_is_no_grid_is_a_geometry_error(tmp_path, row):
    with pytest.raises(GeometryError, match="affine"):
        read_image(saved(tmp_path / "a.nii", nifti(srow_x=row, qform_code=0)))


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_zero_or_negative_spacing_is_a_geometry_error(tmp_path, value):
    with pytest.raises(GeometryError, match="pixdim"):
        read_image(saved(tmp_path / "a.nii", nifti(pixdim=[1, value, 2, 0.5, 1, 1, 1, 1], qform_code=0)))


def test_a_sheared_affine_forms_that_part_and_a_file_without_orientation_are_found(tmp_path):
    shear = AFFINE.copy()
    shear[0, 2] = 0.3
    assert "affine" in rules(saved(tmp_path / "a.nii", nifti(affine=shear)))
    assert rules(saved(tmp_path / "b.nii", nifti(srow_x=[0, -1.5, 0, 14]))) == {"forms"}
    assert rules(saved(tmp_path / "c.nii", nifti(pixdim=[1, 3, 3, 3, 1, 1, 1, 1], qform_code=0))) == {"forms"}
    assert rules(saved(tmp_path / "d.nii", nifti(qform_code=0, sform_code=0))) == {"orientation"}


def test_micrometres_become_millimetres_and_are_told(tmp_path):
    large = AFFINE.copy()
    large[:3] *= 1000
    path = saved(tmp_path / "a.nii", nifti(affine=large, xyzt_units=3))
    assert np.allclose(read_image(path).affine, AFFINE)
    assert rules(path) == {"units"}
    assert rules(saved(tmp_path / "b.nii", nifti(affine=large))) == {"units"}
    assert rules(saved(tmp_path / "c.nii", nifti(xyzt_units=1))) == {"units"}


def test_a_tiny_volume_with_five_axes_is_read(tmp_path, reader):
    tiny = nib.Nifti1Image(np.zeros((1, 1, 1, 1, 18), np.uint8), np.eye(4)).to_bytes()
    assert len(tiny) == 370
    assert read_image(saved(tmp_path / "a.nii", tiny), reader=reader).channels == 18


def test_a_crash_of_the_child_is_an_error_and_the_next_file_is_read(tmp_path):
    Picture.new("L", (3, 2), 7).save(tmp_path / "a.png")
    code = "import os, signal; input(); os.kill(os.getpid(), signal.SIGSEGV)"
    with Reader() as fragile:
        sound, fragile.command = fragile.command, (sys.executable, "-c", code)
        with pytest.raises(DataError, match=r"crashed \(SIGSEGV\)"):
            read_image(tmp_path / "a.png", reader=fragile)
        fragile.command = sound
        assert read_image(tmp_path / "a.png", reader=fragile).shape == (3, 2)


def test_a_reader_over_its_time_is_ended(tmp_path):
    Picture.new("L", (3, 2)).save(tmp_path / "a.png")
    with Reader(time_s=0.001) as hasty, pytest.raises(DataError, match="took over"):
        read_image(tmp_path / "a.png", reader=hasty)


def test_a_reader_over_its_memory_is_an_error(tmp_path):
    Picture.new("L", (20000, 20000)).save(tmp_path / "a.png", compress_level=1)
    with Reader(memory_mb=500) as small, pytest.raises(DataError, match="memory"):
        read_image(tmp_path / "a.png", reader=small)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.mhd", "a.nhdr"])
@pytest.mark.parametrize("packed", [False, True])
def test_other_volumes_lie_where_their_nifti_twin_lies(tmp_path, reader, name, packed):
    nib.save(nib.Nifti1Image(volume(), AFFINE), tmp_path / "twin.nii")
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(tmp_path / "twin.nii")), str(tmp_path / name), packed)
    image = read_image(tmp_path / name, reader=reader)
    assert np.array_equal(image.array, volume())
    assert np.allclose(image.affine, AFFINE)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_cut_volume_is_an_error_where_simpleitk_gives_zeros(tmp_path, reader, name, packed):
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(volume(shape=(20, 20, 20))), str(tmp_path / name), packed
    )
    content = (tmp_path / name).read_bytes()
    saved(tmp_path / name, content[: len(content) * 2 // 3])
    with pytest.raises(DataError):
        read_image(tmp_path / name, reader=reader)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp"])
def test_pictures_are_column_row_colour_without_millimetres(tmp_path, reader, name):
    colours = np.zeros((4, 6, 3), np.uint8)
    colours[1, 5] = 200
    Picture.fromarray(colours).save(tmp_path / name, quality=100)
    image = read_image(tmp_path / name, reader=reader)
    assert (image.shape, image.channels, image.is_rgb, image.has_grid) == ((6, 4), 3, True, False)
    assert image.array[5, 1, 0] > image.array[0, 0, 0]
    content = (tmp_path / name).read_bytes()
    saved(tmp_path / name, content[: len(content) // 2])
    with pytest.raises(DataError):
        read_image(tmp_path / name, reader=reader)


def test_a_turned_photograph_is_told(tmp_path, reader):
    exif = Picture.Exif()
    exif[0x0112] = 6
    Picture.new("RGB", (8, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert rules(tmp_path / "a.jpg", reader) == {"exif"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README", b"text"),
        ("a.nii", b""),
        ("a.dcm", b"no"),
        ("a.gz", gzip.compress(b"x" * 400, mtime=0)),
        ("a.png", b"\x89PNG\r"),
    ],
)
def test_what_is_no_image_is_an_error(tmp_path, reader, name, content):
    with pytest.raises(DataError):
        read_image(saved(tmp_path / name, content), reader=reader)


def test_a_missing_file_and_an_empty_folder_are_errors(tmp_path):
    with pytest.raises(DataError, match="missing"):
        read_image(tmp_path / "no.nii")
    with pytest.raises(DataError, match="no DICOM"):
        read_image(tmp_path)


@pytest.mark.data
def test_every_odd_file_gives_an_image_or_a_finding(reader):
    root = Path(os.environ["MEDSEG_TEST_DATA"]) / "bad_inputs"
    files = sorted(p for p in root.rglob("*") if p.is_file())
    results = {str(p.relative_to(root)): examine(p, reader=reader) for p in files}
    silent = [name for name, (image, found) in results.items() if image is None and not found]
    assert len(results) > 200
    assert silent == []
    assert sum(image is not None for image, _ in results.values()) > 120


@pytest.mark.data
@pytest.mark.parametrize(
    ("series", "truth"),
    [
        ("generic/anatomical/001", "generic/anatomical/001_ground_truth.nii.gz"),
        ("generic/compressed_jpegls/001", "generic/compressed/001_ground_truth.nii.gz"),
        ("generic/compressed_j2k/001", "generic/compressed/001_ground_truth.nii.gz"),
        ("hyperfine/anatomical/001", "hyperfine/anatomical/001_ground_truth.nii.gz"),
    ],
)
def test_a_dicom_series_lies_where_its_reference_conversion_lies(reader, series, truth):
    root = Path(os.environ["MEDSEG_TEST_DATA"]) / "bad_inputs/dicom2nifti"
    image, reference = read_image(root / series, reader=reader), read_image(root / truth)
    ours = nib.as_closest_canonical(nib.Nifti1Image(image.array, image.affine))
    theirs = nib.as_closest_canonical(nib.Nifti1Image(reference.array, reference.affine))
    assert np.array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj))
    assert np.allclose(ours.affine, theirs.affine, atol=1e-3)


@pytest.mark.data
def test_simpleitk_puts_the_ct_series_on_the_same_place(reader):
    folder = Path(os.environ["MEDSEG_TEST_DATA"]) / "dicom_ct/series"
    image = read_image(folder, reader=reader)
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    theirs = SimpleITK.ReadImage(names)
    first = np.array(theirs.TransformIndexToPhysicalPoint((0, 0, 0))) * [-1, -1, 1]
    assert image.modality == "CT"
    assert np.allclose(image.affine[:3, 3], first, atol=1e-3)
    assert np.array_equal(image.array, SimpleITK.GetArrayFromImage(theirs).transpose(2, 1, 0))


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "rule"),
    [
        ("gantrytilting/001", "dicom-tilt"),
        ("sliceincrement/001", "dicom-slices"),
        ("sliceincrement/002", "dicom-slices"),
    ],
)
def test_a_faulty_series_is_told(reader, folder, rule):
    path = Path(os.environ["MEDSEG_TEST_DATA"]) / "bad_inputs/dicom2nifti/failing" / folder
    assert rule in rules(path, reader)


def test_a_qfac_of_zero_counts_as_one(tmp_path):
    straight = np.diag([1.5, 2.0, 0.5, 1.0])
    content = nifti(affine=straight, sform_code=0, pixdim=[0, 1.5, 2.0, 0.5, 0, 0, 0, 0])
    image = read_image(saved(tmp_path / "a.nii", content))
    np.testing.assert_allclose(image.affine, straight)


@pytest.mark.parametrize("size", [5, 80])
def test_bytes_that_are_no_gzip_behind_a_stream_are_refused_at_every_size(tmp_path, size):
    packed = gzip.compress(nifti(volume(shape=(size, size, size))))
    path = saved(tmp_path / "a.nii.gz", packed + b"garbage that is no stream")
    with pytest.raises(DataError, match="bytes that are no gzip follow its compressed stream"):
        read_image(path)


def test_members_of_gzip_are_read_as_one_stream(tmp_path):
    content = nifti()
    members = [gzip.compress(content[at : at + 100]) for at in range(0, len(content), 100)]
    assert np.array_equal(read_image(saved(tmp_path / "a.nii.gz", b"".join(members))).array, volume())
