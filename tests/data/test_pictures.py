"""Photographs upright and in sRGB."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from medseg.data import PictureReader
from medseg.errors import DataError


def read(path, **options):
    reader = PictureReader(**options)
    return reader.get_data(reader.read(path))[0]


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)


def test_a_photograph_comes_as_column_row_colour(tmp_path, colours):
    Image.fromarray(colours).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png"), colours.swapaxes(0, 1))


@pytest.mark.parametrize(
    ("orientation", "stored"), [(3, (2, 0)), (6, (1, 0)), (8, (3, 0)), (2, (0, 1)), (7, (1, 1))]
)
def test_each_exif_orientation_gives_the_upright_photograph(tmp_path, colours, orientation, stored):
    turns, mirrored = stored
    content = np.rot90(colours, turns)
    content = content[:, ::-1] if mirrored else content
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(content)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), colours.swapaxes(0, 1))


def test_a_colour_profile_is_applied(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # The tags of the profile's red and blue exchange their names: its red is sRGB's blue.
    exchanged = profile.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "a.jpg", icc_profile=exchanged, quality=100)
    red, green, blue = read(tmp_path / "a.jpg")[0, 0]
    assert blue > 250
    assert max(red, green) < 5


def test_a_profile_for_other_colours_is_passed_over_and_told(tmp_path, colours):
    Image.fromarray(colours).save(tmp_path / "a.png", icc_profile=b"no profile at all")
    with pytest.warns(UserWarning, match="colour profile"):
        np.testing.assert_array_equal(read(tmp_path / "a.png"), colours.swapaxes(0, 1))


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "I;16", "RGBA", "LA"])
def test_every_kind_of_picture_becomes_three_bytes(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new(mode, (5, 3)).save(path)
    array = read(path)
    assert array.shape == (5, 3, 3)
    assert array.dtype == np.uint8


def test_alpha_is_left_out(tmp_path):
    Image.new("RGBA", (2, 2), (200, 100, 50, 0)).save(tmp_path / "a.png")
    assert (read(tmp_path / "a.png") == [200, 100, 50]).all()


def test_a_mask_keeps_its_values(tmp_path):
    mask = np.array([[0, 255, 255], [0, 0, 255]], np.uint8)
    Image.fromarray(mask).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png", colours=False), mask.T)


def test_a_mask_in_colours_is_refused(tmp_path, colours):
    Image.fromarray(colours).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="in colours"):
        read(tmp_path / "a.png", colours=False)


def test_a_cut_photograph_is_refused(tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"a\.jpg"):
        read(tmp_path / "a.jpg")
