import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.data import MetaTensor
from scipy import ndimage

from medseg.postprocess import KeepLargestd, fill_holes, keep_largest


def test_the_smaller_of_two_boxes_goes_and_the_other_structure_stays():
    label_map = np.zeros((12, 6, 6), np.uint8)
    label_map[1:4, 1:4, 1:4] = 1
    label_map[8:10, 1:3, 1:3] = 1
    label_map[10, 5, 5] = 2
    cleaned = keep_largest(label_map, [1, 2])
    expected = label_map.copy()
    expected[8:10, 1:3, 1:3] = 0
    np.testing.assert_array_equal(cleaned, expected)


def test_pieces_that_touch_by_a_corner_are_one():
    label_map = np.eye(4, dtype=np.uint8)
    np.testing.assert_array_equal(keep_largest(label_map, [1]), label_map)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=3, max_side=6), elements=st.integers(0, 2)))
def test_each_structure_is_one_piece_and_nothing_is_added(label_map):
    cleaned = keep_largest(label_map, [1, 2])
    touching = np.ones((3,) * label_map.ndim)
    assert np.all((cleaned == label_map) | (cleaned == 0))
    assert [ndimage.label(cleaned == number, touching)[1] for number in (1, 2)] == [
        min(1, ndimage.label(label_map == number, touching)[1]) for number in (1, 2)
    ]


def test_the_transform_keeps_shape_place_and_input():
    label_map = torch.tensor([[[1, 1, 0, 1]]])
    case = {"pred": MetaTensor(label_map, affine=2 * torch.eye(4))}
    cleaned = KeepLargestd("pred", {"background": 0, "liver": 1})(case)["pred"]
    assert cleaned.tolist() == [[[1, 1, 0, 0]]]
    assert torch.equal(cleaned.affine, 2 * torch.eye(4, dtype=torch.float64))
    assert case["pred"].tolist() == [[[1, 1, 0, 1]]]


def test_a_hole_is_filled_and_a_bay_is_not():
    ring = np.zeros((7, 7), np.uint8)
    ring[1:6, 1:6] = 1
    ring[3, 3] = 0
    bay = ring.copy()
    bay[3, 3:] = 0
    assert fill_holes(ring, [1]).sum() == 25
    np.testing.assert_array_equal(fill_holes(bay, [1]), bay)


def test_another_structure_in_a_hole_stays():
    ring = np.ones((5, 5, 5), np.uint8)
    ring[1:4, 1:4, 1:4] = 0
    ring[2, 2, 2] = 2
    filled = fill_holes(ring, [1])
    assert filled[2, 2, 2] == 2
    assert (filled == 1).sum() == 124


def test_filling_holes_is_what_scipy_s_own_does():
    noise = (np.random.default_rng(0).random((40, 40)) > 0.45).astype(np.uint8)
    np.testing.assert_array_equal(fill_holes(noise, [1]), ndimage.binary_fill_holes(noise))
