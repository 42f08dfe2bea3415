import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from medseg.errors import TrainingError
from medseg.transforms import ForegroundPointsd, RandPatchd
from medseg.transforms.splines import smooth_field

SIZE = (13, 11, 9)
RAMP = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in SIZE], indexing="ij"))


class Still(RandPatchd):
    """A patch about a known centre with a known matrix."""

    def __init__(self, centre, matrix, **options) -> None:
        super().__init__("image", foreground=0.0, **options)
        self.centre, self.matrix = np.asarray(centre, float), np.asarray(matrix, float)

    def _centre(self, *_):
        return self.centre

    def _matrix(self):
        return self.matrix


def test_without_a_deformation_the_patch_is_a_part_of_the_volume():
    patch = RandPatchd("image", (5, 4, 3), prob=0.0).set_random_state(1)({"image": RAMP})["image"]
    x, y, z = patch[:, 0, 0, 0].int().tolist()
    assert torch.equal(patch, RAMP[:, x : x + 5, y : y + 4, z : z + 3])


def test_a_deformation_of_nothing_is_the_same_as_none():
    still = Still((6, 5, 4), np.eye(3), roi_size=(5, 5, 3))({"image": RAMP})["image"]
    assert torch.allclose(still, RAMP[:, 4:9, 3:8, 3:6], atol=1e-5)


def test_a_quarter_turn_is_a_quarter_turn():
    turn = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    patch = Still((6, 5, 4), turn, roi_size=(5, 5, 3))({"image": RAMP})["image"]
    # Voxel (i, j) of the patch comes from (-j, i).
    assert torch.allclose(patch, torch.rot90(RAMP[:, 4:9, 3:8, 3:6], -1, (1, 2)), atol=1e-4)


@given(
    st.lists(st.floats(-0.3, 0.3), min_size=9, max_size=9),
    st.lists(st.floats(3, 6), min_size=3, max_size=3),
)
@settings(max_examples=25, deadline=None)
def test_it_agrees_with_scipy_on_any_matrix(entries, centre):
    matrix = np.eye(3) + np.reshape(entries, (3, 3))
    volume = np.random.default_rng(0).random(SIZE).astype(np.float32)
    patch = Still(centre, matrix, roi_size=(4, 5, 3))({"image": torch.from_numpy(volume)[None]})["image"][0]
    index = np.stack(np.meshgrid(*[np.arange(n) for n in (4, 5, 3)], indexing="ij"), -1)
    places = (index - (np.array([4, 5, 3]) - 1) / 2) @ matrix.T + np.asarray(centre)
    expected = map_coordinates(volume, np.moveaxis(places, -1, 0), order=1, mode="grid-constant")
    assert np.allclose(patch.numpy(), expected, atol=1e-4)


def test_a_bend_moves_each_voxel_by_its_field():
    bent = Still((6, 5, 4), np.eye(3), roi_size=(5, 5, 3), elastic=1.0, elastic_grid=4)
    field = smooth_field(np.random.default_rng(0).uniform(-1, 1, (3, 5, 5, 4)), (5, 5, 3))
    bent._bend = lambda: field
    moved = bent({"image": RAMP})["image"] - RAMP[:, 4:9, 3:8, 3:6]
    assert torch.allclose(moved, field, atol=1e-4)


def test_a_bend_is_never_larger_than_was_asked_for():
    bent = RandPatchd("image", (5, 5, 3), elastic=2.0, elastic_grid=4).set_random_state(3)
    assert float(bent._bend().abs().max()) <= 2.0


def test_labels_stay_labels_and_fit_the_image():
    label = torch.zeros(1, *SIZE, dtype=torch.uint8)
    label[0, 3:10, 2:9, 2:8] = 3
    bend = RandPatchd(["image", "label"], (8, 8, 8), rotate=0.4, scale=0.2, shear=0.1, elastic=2.0)
    patch = bend.set_random_state(0)({"image": (label > 0).float(), "label": label})
    assert set(patch["label"].unique().tolist()) == {0, 3}
    assert patch["label"].dtype == torch.uint8
    # Nearest and half of linear differ at edges alone, where one is not the other's rounding.
    assert float(((patch["label"] > 0) != (patch["image"] > 0.5)).float().mean()) < 0.05


def test_a_patch_larger_than_the_volume_is_filled_with_zeros():
    patch = RandPatchd("image", (4, 4, 4), prob=0.0)({"image": torch.ones(1, 2, 9, 9)})["image"]
    assert patch.shape == (1, 4, 4, 4)
    assert patch.sum() == 2 * 4 * 4


@pytest.mark.parametrize("value", [1, 2])
def test_each_structure_is_as_often_in_the_middle_however_small_it_is(value):
    label = torch.zeros(1, 30, 30, dtype=torch.uint8)
    label[0, 20, 20] = 1
    label[0, 5:15, 5:15] = 2
    case = ForegroundPointsd("label", n_points=50)({"label": label})
    crop = RandPatchd("label", (3, 3), prob=0.0, foreground=1.0).set_random_state(0)
    middles = [int(crop(case)["label"][0, 1, 1]) for _ in range(200)]
    assert middles.count(value) == pytest.approx(100, abs=30)
    assert set(middles) == {1, 2}


def test_a_case_without_structures_is_cut_anywhere_and_loses_its_points():
    case = ForegroundPointsd("label")({"label": torch.zeros(1, 9, 9, dtype=torch.uint8), "case": "a"})
    patch = RandPatchd("label", (3, 3), foreground=1.0)(case)
    assert patch.keys() == {"label", "case"}


def test_the_case_itself_is_never_changed():
    image = torch.rand(1, *SIZE)
    before = image.clone()
    patch = RandPatchd("image", (5, 5, 5), prob=0.0)({"image": image})["image"]
    patch.zero_()
    assert torch.equal(image, before)


@given(st.integers(4, 9), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_a_field_of_equal_control_points_is_constant(n_points, n):
    field = smooth_field(np.full((2, n_points, n_points), 0.7), (n, 5))
    assert torch.allclose(field, torch.full((2, n, 5), 0.7))


def test_a_field_follows_the_cubic_b_spline():
    control = np.zeros((1, 7))
    control[0, 3] = 1.0
    # The basis function of the middle control point at its knots: 0, 1/6, 2/3, 1/6.
    assert smooth_field(control, (4,))[0].tolist() == pytest.approx([0, 1 / 6, 2 / 3, 1 / 6], abs=1e-6)


def test_a_patch_of_one_axis_is_refused():
    with pytest.raises(TrainingError, match="two or three axes"):
        RandPatchd("image", (5,))


def test_angles_are_radians():
    turned = RandPatchd("image", (5, 5), rotate=math.pi).set_random_state(0)._matrix()
    assert np.linalg.det(turned) == pytest.approx(1.0)
