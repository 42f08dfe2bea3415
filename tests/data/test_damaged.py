"""Damaged files give an equal image or a refusal in one line; benchmarks/damaged_files.py says it in full."""

from __future__ import annotations

import locale
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from PIL import Image

from benchmarks.damaged_files import attacked, dicom, pictures, volumes
from medseg.data.formats import load_by_itk
from medseg.data.isolation import Reader
from medseg.data.reading import examine, read_image
from medseg.errors import DataError
from medseg.itk_locale import locale_kept


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader() as reader:
        yield reader


@pytest.mark.parametrize("maker", [volumes, pictures, dicom])
def test_accidents_give_an_equal_image_or_one_line(tmp_path: Path, reader: Reader, maker) -> None:
    rng = np.random.default_rng(0)
    results = [(path.name, *one) for path in maker(tmp_path) for one in attacked(path, 5, rng, reader)]
    assert len(results) >= 45
    assert [one for one in results if one[1] == "FAULT"] == []


def test_a_slope_beyond_the_types_range_gives_infinity_without_a_warning(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.full((3, 3, 3), 9, np.int16), np.eye(4))
    nib.save(image, tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[112:116] = struct.pack("<f", 3e38)
    (tmp_path / "a.nii").write_bytes(content)
    assert np.isinf(read_image(tmp_path / "a.nii").array).all()


def test_a_nrrd_packed_by_bzip2_is_refused_in_a_line_that_says_what_to_do(tmp_path: Path, reader) -> None:
    (path,) = (p for p in volumes(tmp_path) if p.name == "bzip2.nrrd")
    with pytest.raises(DataError, match=r"^\S+bzip2.nrrd: bzip2.nrrd is packed by bzip2[^\n]*gzip$"):
        read_image(path, reader=reader)


def test_a_png_whose_pixels_do_not_have_their_checksum_is_refused(tmp_path: Path, reader: Reader) -> None:
    path = tmp_path / "a.png"
    pixels = (np.random.default_rng(1).integers(1, 200, (23, 31)) * 300).astype(np.uint16)
    Image.fromarray(pixels).save(path)
    content = bytearray(path.read_bytes())
    # Near the end of the stream: Pillow reads other pixels and says nothing.
    content[content.index(b"IEND") - 49] ^= 128
    path.write_bytes(content)
    assert (np.asarray(Image.open(path)) != pixels).any()
    with pytest.raises(DataError, match="checksum of its chunk 'IDAT' is wrong"):
        read_image(path, reader=reader)


def test_a_png_without_its_end_is_refused(tmp_path: Path, reader: Reader) -> None:
    path = tmp_path / "a.png"
    chunk = struct.pack(">I4s5sI", 5, b"tEXt", b"a\0bcd", zlib.crc32(b"tEXta\0bcd"))
    Image.fromarray(np.full((9, 9), 7, np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-12] + chunk)
    with pytest.raises(DataError, match="ends before its last chunk"):
        read_image(path, reader=reader)


def test_a_tiff_that_lost_its_last_page_is_refused(tmp_path: Path, reader: Reader) -> None:
    path = tmp_path / "a.tif"
    pages = [Image.fromarray(np.full((9, 9), n, np.uint8)) for n in (1, 2, 3)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    whole = path.read_bytes()
    assert read_image(path, reader=reader).array.shape == (9, 9, 3)
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(DataError, match="ends before its last page"):
        read_image(path, reader=reader)


@pytest.mark.parametrize("interlace", [False, True])
def test_a_gif_is_read_with_all_its_pixels_or_refused(
    tmp_path: Path, reader: Reader, interlace: bool
) -> None:
    path = tmp_path / "a.gif"
    pixels = np.random.default_rng(1).integers(1, 200, (70, 90)).astype(np.uint8)
    Image.fromarray(pixels).save(path, interlace=interlace)
    whole = path.read_bytes()
    np.testing.assert_array_equal(read_image(path, reader=reader).array[..., 0], pixels.T)
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(len(whole) - middle - 2) + whole[-2:])
    with pytest.raises(DataError, match="of 6300 pixels"):
        read_image(path, reader=reader)


def test_a_gif_whose_canvas_is_larger_than_its_picture_is_refused(tmp_path: Path, reader: Reader) -> None:
    path = tmp_path / "a.gif"
    Image.fromarray(np.full((9, 9), 7, np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    content[6] = 90
    path.write_bytes(content)
    with pytest.raises(DataError, match="covers a part of its canvas"):
        read_image(path, reader=reader)


def test_a_tiff_that_says_something_twice_is_refused(tmp_path: Path, reader: Reader) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(np.full((9, 9), 7, np.uint8)).save(path)
    content = path.read_bytes()
    # The photometric interpretation becomes a second number of rows in a strip.
    path.write_bytes(content.replace(struct.pack("<HHI", 262, 3, 1), struct.pack("<HHI", 278, 3, 1), 1))
    with pytest.raises(DataError, match="says something twice"):
        read_image(path, reader=reader)


@pytest.mark.parametrize(("at", "value"), [(10, 8), (18, 18), (22, 12), (22, 40), (28, 8)])
def test_a_bmp_whose_header_does_not_fit_its_rows_is_refused(
    tmp_path: Path, reader: Reader, at: int, value: int
) -> None:
    path = tmp_path / "a.bmp"
    Image.fromarray(np.full((23, 31, 3), 7, np.uint8)).save(path)
    assert read_image(path, reader=reader).array.min() == 7
    content = bytearray(path.read_bytes())
    content[at] = value
    path.write_bytes(content)
    with pytest.raises(DataError, match="bytes of pixels"):
        read_image(path, reader=reader)


def test_a_deflated_data_set_is_held_against_the_checksum_that_follows_it(
    tmp_path: Path, reader: Reader
) -> None:
    (path,) = (file for file in dicom(tmp_path) if file.name == "deflated.dcm")
    assert examine(path, reader=reader)[0] is not None
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="checksum of its stream is wrong"):
        read_image(path, reader=reader)


def test_a_gif_that_lost_pixels_says_how_many(tmp_path: Path, reader: Reader) -> None:
    path = tmp_path / "a.gif"
    Image.fromarray(np.full((9, 9), 7, np.uint8)).save(path, interlace=False)
    content = path.read_bytes()
    # Twice as many rows, on the canvas and in the picture.
    path.write_bytes(content.replace(bytes([9, 0, 9, 0]), bytes([9, 0, 18, 0])))
    with pytest.raises(DataError, match="81 of 162 pixels"):
        read_image(path, reader=reader)


def test_a_tiff_that_claims_more_rows_than_it_has_is_refused(tmp_path: Path, reader: Reader) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(np.full((9, 9), 7, np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    # ImageLength: tag 257, one long.
    content[content.index(struct.pack("<HHII", 257, 4, 1, 9)) + 8] = 90
    path.write_bytes(content)
    assert (np.asarray(Image.open(path)) == 0).any()
    with pytest.raises(DataError, match=r"of \d+ parts of a page|bytes of a page that claims 810"):
        read_image(path, reader=reader)


@pytest.mark.parametrize("name", ["a.vtk", "a.gipl"])
def test_a_cut_file_of_old_formats_is_refused_where_simpleitk_says_nothing(
    tmp_path: Path, reader: Reader, name: str
) -> None:
    path = tmp_path / name
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.full((9, 9, 9), 7, np.int16)), str(path))
    assert (read_image(path, reader=reader).array == 7).all()
    path.write_bytes(path.read_bytes()[:-300])
    with locale_kept():
        assert SimpleITK.ReadImage(str(path)).GetSize() == (9, 9, 9)
    with pytest.raises(DataError, match="1158 of 1458 bytes of image"):
        read_image(path, reader=reader)


@pytest.mark.parametrize("size", [b"", b"CompressedDataSize = 500\n"])
def test_a_metaimage_without_its_compressed_size_is_refused_where_simpleitk_says_nothing(
    tmp_path: Path, reader: Reader, size: bytes
) -> None:
    path, rng = tmp_path / "a.mha", np.random.default_rng(3)
    voxels = rng.integers(1, 200, (7, 11, 13)).astype(np.int16)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(voxels), str(path), useCompression=True)
    path.write_bytes(re.sub(rb"CompressedDataSize = \d+\n", size, path.read_bytes()))
    assert SimpleITK.ReadImage(str(path)).GetSize() == (13, 11, 7)
    with pytest.raises(DataError, match=r"CompressedDataSize (missing|500) of \d+"):
        read_image(path, reader=reader)


def test_an_error_never_tells_the_folder_that_its_file_lies_in(tmp_path: Path, reader: Reader) -> None:
    path = tmp_path / "Doe_Jane" / "a.mha"
    path.parent.mkdir()
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.ones((3, 3, 3), np.int16)), str(path))
    path.write_bytes(path.read_bytes().replace(b"ElementSpacing = 1 1 1", b"ElementSpacing = 0 0 0"))

    _, found = examine(path, reader=reader)
    assert found
    assert not any("Doe" in f.found for f in found)


def test_the_locale_survives_a_vtk_file(tmp_path: Path) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((2, 2, 2), np.uint8)), str(tmp_path / "a.vtk"))
    before = locale.setlocale(locale.LC_ALL)
    load_by_itk(tmp_path / "a.vtk")
    assert locale.setlocale(locale.LC_ALL) == before
