"""The mosaic's picture shows a scan upright whatever the order of its voxels, and its label map on it."""

import base64
import io

import nibabel as nib
import numpy as np
import pytest
from PIL import Image as Picture

from medseg.data.mosaic import mid_slice
from medseg.data.reading import Image

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


def scan():
    """A bright spot on the patient's right, in front; its label map is the same spot."""
    volume = np.zeros((32, 32, 8), np.float32)
    volume[24:30, 20:30, 3:5] = 100
    return volume, (volume > 0).astype(np.uint8)


def stored(array, codes):
    """The array and its affine as a scanner with these axes would store them."""
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(tuple(codes))
    )
    affine = AFFINE @ nib.orientations.inv_ornt_aff(turn, array.shape)
    return Image(np.ascontiguousarray(nib.orientations.apply_orientation(array, turn)), affine, "NIfTI")


def pixels(image, label):
    png = base64.b64decode(mid_slice(image, image.array, label))
    return np.asarray(Picture.open(io.BytesIO(png))).astype(int)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "PSR", "SAL"])
def test_the_picture_is_the_same_for_every_order_of_the_axes(codes):
    volume, label = scan()
    right = pixels(stored(volume, "RAS"), stored(label, "RAS"))
    assert np.array_equal(pixels(stored(volume, codes), stored(label, "RAS")), right)
    assert np.array_equal(pixels(stored(volume, "RAS"), stored(label, codes)), right)


def test_the_patients_right_is_on_the_left_and_the_front_is_up_and_labels_have_colour():
    volume, label = scan()
    found = pixels(stored(volume, "LPS"), stored(label, "LPS"))
    rows, columns = np.nonzero(found.max(-1) > found.min(-1))
    assert found.shape == (128, 128, 3)
    assert rows.mean() < 64
    assert columns.mean() < 64


def test_a_flat_stack_is_drawn_to_scale():
    volume = np.random.default_rng(0).random((20, 10, 40)).astype(np.float32)
    thick = Image(volume, np.diag([1.0, 6.0, 1.0, 1.0]), "NIfTI")
    assert pixels(thick, None).shape == (128, 64, 3)


def test_a_label_map_of_another_shape_is_left_out():
    volume, label = scan()
    assert np.ptp(pixels(stored(volume, "RAS"), stored(label[1:], "RAS")), axis=-1).max() == 0
