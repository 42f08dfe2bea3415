import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.data import MetaTensor
from scipy import ndimage

from medseg.postprocess import KeepLargestd, keep_largest


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
